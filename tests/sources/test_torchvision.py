"""Models of torchvision: every family's layout, published files, what is told without a network."""

import time

import pytest
import small_torchvision  # noqa: F401 (registers models)
import torch
import torchvision

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.sources.checkpoint import Checkpoint
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.sources.torchvision import (
    TorchvisionArchitecture,
    TorchvisionSource,
    classifiers,
)

LAYOUTS = {  # to width, blocks, stages and the path of the classifier
    "vgg16_bn": (4096, 15, 6, "classifier.6"),
    "resnext50_32x4d": (2048, 17, 5, "fc"),
    "wide_resnet50_2": (2048, 17, 5, "fc"),
    "densenet169": (1664, 86, 5, "classifier"),
    "mobilenet_v3_large": (960 + 320, 18, 6, "classifier.3"),
    "efficientnet_v2_s": (1280, 42, 5, "classifier.1"),
    "convnext_base": (1024, 40, 4, "classifier.2"),
    "vit_l_32": (1024, 25, 25, "heads.head"),
    "swin_v2_b": (1024, 28, 4, "head"),
    "maxvit_t": (512, 14, 6, "classifier.5"),
}


@pytest.mark.parametrize("model", LAYOUTS)
def test_large_models_are_laid_out_like_small_ones(model):
    """On the meta device nothing is computed, and shapes are true."""
    with torch.device("meta"):
        backbone = TorchvisionArchitecture(model).build().eval()
        told = backbone.dim, *(len(backbone.blocks(g)) for g in ("fine", "coarse"))
    assert (*told, backbone.head_names[0]) == LAYOUTS[model]
    names = [n for b in backbone.blocks() for n in (*b.parameters, *b.buffers)]
    assert sorted(names) == sorted(backbone.state_dict())


def test_stages_begin_where_images_shrink():
    with torch.device("meta"):
        names = {
            model: [b.name for b in TorchvisionArchitecture(model).build().blocks("coarse")]
            for model in ("resnet18", "alexnet")
        }
    assert names["resnet18"] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert names["alexnet"] == ["stem", "features.3", "features.6", "classifier"]


def published(model, **options):
    """Return a published network's names with made-up weights, classifiers included."""
    torch.manual_seed(0)
    return getattr(torchvision.models, model)(**options).eval()


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "published.pth")


@pytest.mark.parametrize("model", ["resnet18", "squeezenet1_1", "mnasnet0_5", "regnet_y_400mf"])
def test_a_file_with_its_classifier_gives_what_the_classifier_was_given(model, file):
    whole = published(model)
    torch.save(whole.state_dict(), file)
    backbone = TorchvisionSource(TorchvisionArchitecture(model, 64), file).initial().eval()
    taken = {}
    path = backbone.head_names[0]
    whole.get_submodule(path).register_forward_pre_hook(lambda _, args: taken.update(x=args[0]))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole(images)
        given = taken["x"] if taken["x"].ndim == 2 else taken["x"].mean((2, 3))
        torch.testing.assert_close(backbone.embed(images), given)
    assert backbone.notes["weights_left_out"] == [f"{path}.bias", f"{path}.weight"]


def test_second_classifiers_are_left_out(file):
    whole = published("googlenet", init_weights=False, aux_logits=True, transform_input=True)
    torch.save(whole.state_dict(), file)
    backbone = TorchvisionSource(TorchvisionArchitecture("googlenet", 64), file).initial().eval()
    whole.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone.embed(images), whole(images))
    left_out = {name.partition(".")[0] for name in backbone.notes["weights_left_out"]}
    assert left_out == {"fc", "aux1", "aux2"}


@pytest.mark.parametrize(
    ("model", "size", "now", "once"),
    [
        ("densenet121", 32, ".norm1.", ".norm.1."),
        ("densenet121", 32, ".conv2.", ".conv.2."),
        ("vit_small_test", 32, ".mlp.0.", ".mlp.linear_1."),
        ("vit_small_test", 32, ".mlp.3.", ".mlp.linear_2."),
    ],
)
def test_names_that_published_files_bear_since_long_are_understood(model, size, now, once, file):
    architecture = TorchvisionArchitecture(model, size)
    first = architecture.build()
    state = first.network.state_dict()
    old = {
        name.replace(now, once) if "denselayer" in name or "mlp" in name else name: tensor
        for name, tensor in state.items()
    }
    assert old.keys() != state.keys()
    torch.save(old, file)
    loaded = Checkpoint(architecture, file).initial()
    assert loaded.fingerprint() == first.fingerprint()


class TestInputs:
    def test_they_are_what_the_meant_weights_expect(self):
        usual = TorchvisionArchitecture("vgg16").preprocess()
        other = TorchvisionArchitecture("vgg16", weights="IMAGENET1K_FEATURES").preprocess()
        assert usual.mean == (0.485, 0.456, 0.406)
        assert other.mean == (0.48235, 0.45882, 0.40784)
        large = TorchvisionArchitecture("efficientnet_b4").preprocess()
        assert (large.size, large.interpolation) == ((380, 380), "bicubic")

    def test_what_is_given_wins(self):
        inputs = TorchvisionArchitecture("resnet18", 96, mean=[0.5], std=[0.25]).preprocess()
        assert (inputs.size, inputs.mean, inputs.std) == ((96, 96), (0.5,) * 3, (0.25,) * 3)

    def test_a_model_without_published_weights_takes_the_usual(self):
        inputs = TorchvisionArchitecture("vit_small_test", 32).preprocess()
        assert (inputs.mean, inputs.interpolation) == ((0.485, 0.456, 0.406), "bilinear")

    def test_inception_turns_usual_inputs_into_its_own(self):
        options = {"init_weights": False}
        with torch.device("meta"):
            usual = TorchvisionArchitecture("inception_v3", options=options).build()
            own = TorchvisionArchitecture("inception_v3", mean=[0.5], std=[0.5]).build()
        assert usual.network.transform_input
        assert not own.network.transform_input


class TestBadInput:
    @pytest.mark.parametrize(
        ("architecture", "told"),
        [
            (TorchvisionArchitecture("resnet81"), r"no model 'resnet81'.*did you mean resnet"),
            (TorchvisionArchitecture("fasterrcnn_resnet50_fpn"), "no model"),
            (
                TorchvisionArchitecture("resnet50", weights="IMAGENET1K_V3"),
                r"no weights 'IMAGENET1K_V3' for resnet50; did you mean IMAGENET1K_V",
            ),
            (TorchvisionArchitecture("vit_small_test", weights="V1"), "has none at all"),
            (TorchvisionArchitecture("resnet18", options={"widht": 1}), "cannot make resnet18"),
            (TorchvisionArchitecture("vit_b_32", 33), "cannot make vit_b_32"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, architecture, told):
        with pytest.raises(BadInputError, match=told) as error:
            architecture.build()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 200

    @pytest.mark.parametrize("size", [0, 2.5, "32"])
    def test_a_size_is_a_whole_number_of_pixels(self, size):
        with pytest.raises(BadInputError, match="whole number of pixels from 1"):
            TorchvisionArchitecture("resnet18", size)

    @pytest.mark.parametrize(
        ("kind", "architecture"),
        [
            (TorchvisionSource, TorchvisionArchitecture("squeezenet1_1", 32)),
            (Checkpoint, TorchvisionArchitecture("squeezenet1_1", 32)),
            (TimmSource, TimmArchitecture("test_resnet", 16)),
            (Checkpoint, TimmArchitecture("test_resnet", 16)),
        ],
    )
    def test_a_file_for_another_architecture_is_one_line(self, kind, architecture, file):
        torch.save(published("mnasnet0_5").state_dict(), file)
        with pytest.raises(BadInputError, match=r"does not fit.*another architecture") as error:
            kind(architecture, file).initial()
        assert str(error.value).startswith(file)
        assert architecture.model in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_nearly_right_file_is_not_called_another_architecture(self, file):
        torch.save(published("resnet18", num_classes=3).state_dict() | {"x": torch.ones(1)}, file)
        with pytest.raises(BadInputError, match=r"1 unexpected \(x\)") as error:
            TorchvisionSource(TorchvisionArchitecture("resnet18"), file).initial()
        assert "another" not in str(error.value)


class TestDownloads:
    SOURCE = TorchvisionSource(TorchvisionArchitecture("squeezenet1_1", 32))

    @pytest.fixture(autouse=True)
    def nowhere(self, monkeypatch, tmp_path):
        monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
        monkeypatch.setattr("transfergrid.records.tracking.network.getproxies", dict)
        refused = OSError("refused")
        monkeypatch.setattr("socket.create_connection", lambda *_: (_ for _ in ()).throw(refused))

    def test_without_a_network_the_ways_around_are_named_at_once(self, tmp_path):
        began = time.monotonic()
        with pytest.raises(
            BadInputError, match=r"source\.file=PATH, or put squeezenet1_1"
        ) as error:
            self.SOURCE.initial()
        assert time.monotonic() - began < 5
        assert str(tmp_path) in str(error.value)
        assert "\n" not in str(error.value)

    def test_earlier_downloads_serve(self, tmp_path):
        place = tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
        place.parent.mkdir()
        whole = published("squeezenet1_1")
        torch.save(whole.state_dict(), place)
        loaded = self.SOURCE.initial().network.state_dict()
        assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in loaded.items())

    def test_a_model_without_published_weights_says_so(self):
        with pytest.raises(BadInputError, match="knows no pretrained weights"):
            TorchvisionSource(TorchvisionArchitecture("vit_small_test", 32)).initial()


class TestCard:
    def test_torchvision_tells_of_its_weights(self):
        card = TorchvisionSource(TorchvisionArchitecture("resnet50")).known_card()
        assert card["trained_on"] == ["ImageNet-1k"]
        assert card["origin"].startswith("https://github.com/pytorch/vision")
        assert "licence" not in card

    def test_weights_by_another_recipe_have_another_card(self):
        swag = TorchvisionArchitecture("regnet_y_16gf", weights="IMAGENET1K_SWAG_E2E_V1")
        card = TorchvisionSource(swag).known_card()
        assert card["trained_on"] == ["IG-3.6B", "ImageNet-1k"]
        assert "SWAG" in card["licence"]

    def test_of_a_file_it_tells_nothing_unless_the_weights_are_named(self):
        assert TorchvisionSource(TorchvisionArchitecture("resnet18"), "mine.pth").known_card() == {}
        named = TorchvisionArchitecture("resnet18", weights="IMAGENET1K_V1")
        assert TorchvisionSource(named, "copy.pth").known_card()["trained_on"] == ["ImageNet-1k"]


def test_only_classification_models_are_offered():
    known = classifiers()
    assert {"alexnet", "vgg11", "inception_v3", "maxvit_t"} <= set(known)
    assert not {"deeplabv3_resnet50", "raft_small", "r3d_18", "quantized_resnet18"} & set(known)


def test_a_config_describes_it():
    architecture = TorchvisionArchitecture("resnet50", 64, weights="IMAGENET1K_V1")
    assert build(config_of(architecture)) == architecture
