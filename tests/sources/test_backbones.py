"""The backbone contract, over families that are built in very different ways."""

import copy

import pytest
import small_torchvision  # noqa: F401 (registers models)
import torch
from torch import nn

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.backbones.timm_backbone import TimmBackbone
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.torchvision import TorchvisionArchitecture

FAMILIES = {  # to the smallest size that the family takes and the width of its embeddings
    "vgg11": (32, 4096),
    "resnet18": (32, 512),
    "inception_v3": (75, 2048),
    "legacy_xception": (75, 2048),
    "xception41": (64, 2048),
    "mobilenetv2_100": (32, 1280),
    "efficientnet_b0": (32, 1280),
    "vit_tiny_patch16_224": (32, 192),
    "convnext_atto": (32, 320),
    "densenet121": (32, 1024),
    "darknet53": (32, 1024),
    "cspdarknet53": (32, 1024),
    "test_resnet": (16, 96),
    "test_efficientnet": (32, 256),
    "torchvision/alexnet": (64, 4096),
    "torchvision/resnet18": (32, 512),
    "torchvision/densenet121": (32, 1024),
    "torchvision/googlenet": (32, 1024),
    "torchvision/inception_v3": (75, 2048),
    "torchvision/squeezenet1_1": (32, 512),
    "torchvision/mobilenet_v2": (32, 1280),
    "torchvision/mnasnet0_5": (32, 1280),
    "torchvision/efficientnet_b0": (32, 1280),
    "torchvision/regnet_x_400mf": (32, 400),
    "torchvision/shufflenet_v2_x0_5": (32, 1024),
    "torchvision/convnext_small_test": (32, 48),
    "torchvision/vit_small_test": (32, 32),
    "torchvision/swin_small_test": (32, 64),
    "torchvision/maxvit_small_test": (56, 32),
}
FAST = {name: {"init_weights": False} for name in ("googlenet", "inception_v3")}
GRANULARITIES = ("fine", "coarse")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def backbone(family) -> Backbone:
    torch.manual_seed(0)
    library, _, model = family.rpartition("/")
    made = TorchvisionArchitecture if library else TimmArchitecture
    options = FAST.get(model, {}) if library else {}
    return made(model, FAMILIES[family][0], options).build().eval()


@pytest.fixture
def small() -> Backbone:
    torch.manual_seed(0)
    return TimmArchitecture("test_resnet", 16, {"in_chans": 1}).build()


def images(backbone: Backbone, n: int = 2) -> torch.Tensor:
    shape = backbone.example(n).shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def first_uses(backbone: Backbone) -> list[str]:
    """Paths of the modules that hold tensors, in the order in which the forward pass calls them."""
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, path=path: called.append(path))
        for path, module in backbone.network.named_modules(prefix="network")
        if path != "network" and (module._parameters or module._buffers)
    ]
    with torch.no_grad():
        backbone.embed(images(backbone))
    for hook in hooks:
        hook.remove()
    return called


class TestEveryFamily:
    def test_dim_is_the_width_of_the_embeddings(self, backbone, family):
        with torch.no_grad():
            assert backbone.embed(images(backbone)).shape == (2, backbone.dim)
        assert backbone.dim == FAMILIES[family][1]

    @pytest.mark.parametrize("granularity", GRANULARITIES)
    def test_blocks_own_every_parameter_and_buffer_once(self, backbone, granularity):
        blocks = backbone.blocks(granularity)
        parameters = [name for block in blocks for name in block.parameters]
        buffers = [name for block in blocks for name in block.buffers]
        assert sorted(parameters) == sorted(name for name, _ in backbone.named_parameters())
        assert sorted(buffers) == sorted(name for name, _ in backbone.named_buffers())
        assert len({block.name for block in blocks}) == len(blocks) > 1

    @pytest.mark.parametrize("granularity", GRANULARITIES)
    def test_blocks_are_used_from_input_to_output(self, backbone, granularity):
        blocks = backbone.blocks(granularity)
        owner = {
            name.rpartition(".")[0]: i
            for i, block in enumerate(blocks)
            for name in (*block.parameters, *block.buffers)
        }
        used = [owner[path] for path in first_uses(backbone)]
        assert used == sorted(used)

    def test_a_block_ends_with_more_than_a_norm(self, backbone):
        weights = dict(backbone.named_parameters())
        assert any(weights[name].ndim > 1 for name in backbone.blocks()[-1].parameters)

    @pytest.mark.parametrize("granularity", GRANULARITIES)
    def test_a_cut_changes_nothing(self, backbone, granularity):
        inputs, n = images(backbone), len(backbone.blocks(granularity))
        cuts = {0, 1, n // 2, n - 1, n} if granularity == "fine" else {n // 2}
        with torch.no_grad():
            whole = backbone.embed(inputs)
            for k in cuts:
                boundary = backbone.prefix(k, granularity)(inputs)
                kept = [part.clone() for part in boundary]
                joined = backbone.suffix(k, granularity)(boundary)
                assert isinstance(boundary, tuple)
                assert all(len(part) == len(inputs) for part in boundary)
                assert (joined - whole).abs().max() == 0.0, k
                assert all(map(torch.equal, boundary, kept)), "the suffix wrote into a boundary"

    @pytest.mark.parametrize("granularity", GRANULARITIES)
    def test_one_pass_tells_what_crosses_every_cut(self, backbone, granularity):
        inputs, n = images(backbone), len(backbone.blocks(granularity))
        with torch.no_grad():
            told = backbone.boundaries(inputs, granularity)
            assert len(told) == n
            for k in {1, n // 2, n - 1, n} - {0}:
                crossing = backbone.prefix(k, granularity)(inputs)
                assert len(told[k - 1]) == len(crossing)
                assert all(map(torch.equal, told[k - 1], crossing)), k

    def test_what_enters_a_block_can_be_changed(self, backbone):
        inputs, n = images(backbone), len(backbone.blocks("coarse"))
        place, entered = max(1, n // 2), []

        def halved(number, hidden):
            entered.append(number)
            return 0.5 * hidden if number == place else hidden

        with torch.no_grad():
            hidden, *others = backbone.prefix(place, "coarse")(inputs)
            expected = backbone.suffix(place, "coarse")((0.5 * hidden, *others))
            found = backbone.steered(inputs, halved)
            as_it_is = backbone.steered(inputs, lambda number, hidden: hidden)
            whole = backbone.embed(inputs)
        assert sorted(entered) == list(range(1, n))
        assert torch.equal(found, expected) or n == 1
        assert torch.equal(as_it_is, whole)

    def test_a_cut_parts_the_parameters(self, backbone):
        k = len(backbone.blocks()) // 2
        before = {n for block in backbone.blocks()[:k] for n in block.parameters}
        after = {n for block in backbone.blocks()[k:] for n in block.parameters}
        own = dict(backbone.named_parameters())
        for part, names in ((backbone.prefix(k), before), (backbone.suffix(k), after)):
            theirs = dict(part.named_parameters())
            assert theirs.keys() == names
            assert all(theirs[name] is own[name] for name in names)


def test_the_ends_of_a_cut_are_identities(small):
    small.eval()
    inputs, n = images(small), len(small.blocks())
    assert small.prefix(0)(inputs)[0] is inputs
    embeddings = small.embed(inputs)
    assert small.suffix(n)((embeddings,)) is embeddings


@pytest.mark.parametrize("model", ["densenet121", "cspdarknet53"])
def test_a_boundary_may_be_several_tensors(model):
    backbone = TimmArchitecture(model, 32).build().eval()
    cuts = range(1, len(backbone.blocks()))
    assert any(len(backbone.prefix(k)(images(backbone))) > 1 for k in cuts)


def test_a_boundary_kept_for_single_examples_serves_any_batch():
    """Nothing in a suffix remembers the batch that its boundary was made in."""
    backbone = TimmArchitecture("vit_tiny_patch16_224", 32).build().eval()
    inputs = images(backbone, 3)
    singles = [backbone.prefix(4)(image[None]) for image in inputs]
    batch = tuple(torch.cat(parts) for parts in zip(*singles, strict=True))
    joined = backbone.suffix(4)(batch)
    torch.testing.assert_close(joined, backbone.embed(inputs))


DROPPING = {"drop_path_rate": 0.2}


@pytest.mark.parametrize(
    "architecture",
    [
        *(TimmArchitecture(f"test_{name}", 32, DROPPING) for name in ("resnet", "vit")),
        TimmArchitecture("test_efficientnet", 32, DROPPING),
        TorchvisionArchitecture("convnext_small_test", 32),
        TorchvisionArchitecture("mobilenet_v2", 32),
    ],
    ids=lambda architecture: architecture.model,
)
def test_training_through_a_cut_is_training_the_whole(architecture):
    torch.manual_seed(0)
    whole = architecture.build()
    cut = copy.deepcopy(whole)
    inputs = images(whole, 4)
    prefix, suffix = cut.prefix(2), cut.suffix(2)
    for part in (whole, cut):
        part.train()
    torch.manual_seed(1)
    whole.embed(inputs).square().sum().backward()
    torch.manual_seed(1)
    suffix(prefix(inputs)).square().sum().backward()
    for name, parameter in whole.named_parameters():
        other = cut.get_parameter(name).grad
        assert (parameter.grad is None and other is None) or torch.equal(parameter.grad, other)
    for name, buffer in whole.named_buffers():
        assert torch.equal(buffer, cut.get_buffer(name))


def test_training_through_boundaries_is_training_the_whole():
    torch.manual_seed(0)
    whole = TimmArchitecture("test_resnet", 32, DROPPING).build().train()
    cut, inputs = copy.deepcopy(whole), images(whole, 4)
    torch.manual_seed(1)
    whole.embed(inputs).square().sum().backward()
    torch.manual_seed(1)
    cut.boundaries(inputs)[-1][0].square().sum().backward()
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter.grad, cut.get_parameter(name).grad)
    assert all(torch.equal(value, cut.get_buffer(name)) for name, value in whole.named_buffers())


def test_cutting_leaves_modes_gradients_and_buffers_as_they_were(small):
    small.train()
    small.network.layer1.eval()
    modes = {name: part.training for name, part in small.named_modules()}
    before, state = small.fingerprint(), torch.get_rng_state()
    small.suffix(2)
    assert small.dim == 96
    assert {name: part.training for name, part in small.named_modules()} == modes
    assert small.fingerprint() == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in small.parameters())


def test_cuts_work_in_inference_mode(small):
    small.eval()
    with torch.inference_mode():
        inputs = images(small)
        joined = small.suffix(3)(small.prefix(3)(inputs))
        assert torch.equal(joined, small.embed(inputs))


def test_a_copy_is_cut_into_parts_of_its_own(small):
    small.suffix(1)
    small.boundaries(images(small))
    other = copy.deepcopy(small)
    ours = {id(parameter) for parameter in small.parameters()}
    assert not ours & {id(parameter) for parameter in other.suffix(1).parameters()}
    other.boundaries(images(small))[-1][0].sum().backward()
    assert all(parameter.grad is None for parameter in small.parameters())


class Awkward(nn.Module):
    """Its last block writes into its input and takes shapes and a parameter from before."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 8))
        self.stem = nn.Linear(16, 8)
        self.last = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8))

    def group_matcher(self, coarse: bool) -> dict[str, str]:
        return {"stem": "^stem|token", "last": "^last"}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.stem(images.flatten(1))
        tokens = self.token.expand(hidden.shape[0], -1)
        return self.last(hidden) + tokens


def test_a_suffix_neither_writes_into_its_boundary_nor_remembers_a_batch():
    backbone = TimmBackbone(Awkward(), "awkward", (4, 4), 1)
    inputs = images(backbone, 3)
    with torch.no_grad():
        whole = backbone.embed(inputs)
        singles = [backbone.prefix(1)(image[None]) for image in inputs]
        boundary = tuple(torch.cat(parts) for parts in zip(*singles, strict=True))
        kept = [part.clone() for part in boundary]
        assert len(boundary) == 1
        for _ in range(2):
            torch.testing.assert_close(backbone.suffix(1)(boundary), whole)
        assert all(map(torch.equal, boundary, kept))


def test_a_forward_pass_that_cannot_be_traced_is_one_line():
    backbone = TimmArchitecture("hrnet_w18_small", 32).build()
    with pytest.raises(BadInputError, match=r"hrnet_w18_small.*cannot be cut") as error:
        backbone.prefix(1)
    assert "\n" not in str(error.value)


def test_dropout_outside_of_blocks_is_refused_when_cut():
    backbone = TimmArchitecture("test_resnet", 16, {"drop_rate": 0.5}).build()
    with pytest.raises(BadInputError, match=r"cannot be cut.*drop_rate"):
        backbone.prefix(1)


@pytest.mark.parametrize("k", [-1, 6])
def test_there_is_no_cut_beyond_the_ends(small, k):
    with pytest.raises(BadInputError, match=f"before block {k}"):
        small.prefix(k)


def test_building_traces_nothing(small):
    assert small._traces == {}


class TestFingerprint:
    def test_is_a_function_of_weights_and_architecture(self, small):
        same = copy.deepcopy(small)
        state = dict(reversed(small.state_dict().items()))
        same.load_state_dict(state)
        assert same.fingerprint() == small.fingerprint()
        assert len(small.fingerprint()) == 16

    def test_changes_with_one_weight(self, small):
        before = small.fingerprint()
        with torch.no_grad():
            next(iter(small.parameters())).view(-1)[0] += 1e-6
        assert small.fingerprint() != before

    def test_changes_with_a_batchnorm_statistic(self, small):
        before = small.fingerprint()
        next(m for m in small.modules() if isinstance(m, nn.BatchNorm2d)).running_mean[0] += 1
        assert small.fingerprint() != before

    def test_changes_with_what_the_same_weights_are_used_for(self):
        """TensorFlow's padding gives other embeddings from the same weights."""
        plain = TimmArchitecture("mobilenetv2_100").build()
        same = TimmArchitecture("mobilenetv2_100", options={"pad_type": "same"}).build()
        same.load_state_dict(plain.state_dict())
        assert same.fingerprint() != plain.fingerprint()
