"""A source's own head on its own embeddings says what the whole model, head and all, says."""

import pytest
import timm
import torch
from test_transformers_vision import written
from torchvision.models import get_model
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from small_models import TEXTS, described
from transfergrid.data.glyphs import Glyphs
from transfergrid.records.errors import BadInputError
from transfergrid.sources.checkpoint import Checkpoint
from transfergrid.sources.files import hub, weights
from transfergrid.sources.files.heads import linear
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.timm import TimmArchitecture, TimmSource
from transfergrid.sources.torchvision import TorchvisionArchitecture, TorchvisionSource
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource
from transfergrid.sources.transformers_vision import (
    TransformersVisionArchitecture,
    TransformersVisionSource,
)

RESNET = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
PIXELS = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(3))


class Maker:
    """Trained nothing; its head says 1 to the first class and 2 to the second."""

    def trained(self, source, seed):
        torch.manual_seed(seed)
        return source.architecture.build().state_dict()

    def trained_head(self, source, seed):
        width = source.architecture.build().dim
        return {"weight": torch.zeros(2, width), "bias": torch.tensor([1.0, 2.0]) + seed}


MAKER = Maker()


def made(source, seed=0):
    backbone = source.load(MAKER, seed).eval()
    return backbone, source.head(backbone, MAKER, seed)


def saved(network, file):
    weights.save(network.state_dict(), file)
    return str(file)


@pytest.fixture
def whole(tmp_path):
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", in_chans=1, num_classes=3).eval()
    return network, saved(network, tmp_path / "whole.safetensors")


def check_says_the_same(source, network, inputs):
    backbone, head = made(source)
    with torch.no_grad():
        torch.testing.assert_close(head(backbone.embed(inputs)), network(inputs))


def test_of_a_file(whole):
    network, file = whole
    check_says_the_same(Checkpoint(RESNET, file), network, PIXELS)
    check_says_the_same(TimmSource(RESNET, file), network, PIXELS)


def test_of_what_timm_knows(whole, monkeypatch):
    network, file = whole
    monkeypatch.setattr(hub, "_cached", lambda repository, name: file)
    taken = TimmSource(TimmArchitecture("test_resnet.r160_in1k", 16, {"in_chans": 1}))
    monkeypatch.setattr(timm.get_pretrained_cfg("test_resnet.r160_in1k"), "num_classes", 3)
    check_says_the_same(taken, network, PIXELS)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_of_torchvision(tmp_path, name):
    torch.manual_seed(2)
    network = get_model(name, num_classes=3).eval()
    source = TorchvisionSource(TorchvisionArchitecture(name, 32), saved(network, tmp_path / "w.pt"))
    check_says_the_same(source, network, torch.rand(2, 3, 32, 32))


@pytest.mark.parametrize("family", ["vit", "resnet", "convnext", "swin"])
def test_of_image_models_of_transformers(tmp_path, family):
    folder = written(tmp_path, family, head=True)
    network = AutoModelForImageClassification.from_pretrained(folder).eval()
    source = TransformersVisionSource(TransformersVisionArchitecture(folder=str(folder)))
    size = made(source)[0].image_shape[-1]
    inputs = torch.rand(2, 3, size, size)
    check_says_the_same(source, lambda pixels: network(pixel_values=pixels).logits, inputs)


def text_source(root, family, pooling="auto"):
    folder = described(root, family)
    config = AutoConfig.from_pretrained(folder, num_labels=3)
    torch.manual_seed(4)
    network = AutoModelForSequenceClassification.from_config(config)
    network.save_pretrained(folder)
    architecture = TransformersArchitecture(folder=str(folder), pooling=pooling)
    return TransformersSource(architecture), network.eval()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_of_decoders_whose_head_reads_the_last_token(tmp_path, family):
    source, network = text_source(tmp_path, family)
    for text in TEXTS:
        inputs = source.architecture.build().preprocess.prepare([text])
        check_says_the_same(source, lambda one: network(**one, use_cache=False).logits, inputs)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_an_encoders_head_of_two_layers_is_none_on_its_embeddings(tmp_path, family):
    source, _ = text_source(tmp_path, family)
    with pytest.raises(BadInputError, match="came without a classifier") as told:
        made(source)
    assert str(told.value).count("\n") == 0


def test_a_mean_over_tokens_is_nothing_that_a_head_of_the_last_one_knows(tmp_path):
    source, _ = text_source(tmp_path, "gpt2", pooling="mean")
    with pytest.raises(BadInputError, match="came without a classifier"):
        made(source)


def test_weights_without_a_head_say_so(tmp_path):
    source = Checkpoint(RESNET, saved(RESNET.build().network, tmp_path / "bare.safetensors"))
    with pytest.raises(BadInputError, match="came without a classifier"):
        made(source)


def test_a_head_of_other_classes_than_the_domains_is_refused(whole):
    letters = Glyphs(characters="AB", size=12, per_class=2, test_per_class=2)
    with pytest.raises(BadInputError, match=r"3 classes apart, and source\.domain has 2"):
        made(Checkpoint(RESNET, whole[1], letters))


def test_of_a_source_that_is_trained_here_under_the_seed_of_its_training():
    letters = Glyphs(characters="AB", size=12, per_class=2, test_per_class=2)
    fixed = TrainedHere(RESNET, letters, training=None, seed=5)
    moving = TrainedHere(RESNET, letters, training=None, seed="block")
    assert made(fixed, 7)[1].bias.tolist() == [6.0, 7.0]
    assert made(moving, 7)[1].bias.tolist() == [8.0, 9.0]


def test_a_permuted_placebo_has_the_heads_numbers_in_another_order(whole):
    of = Checkpoint(RESNET, whole[1])
    own, shuffled = (made(source)[1].weight.flatten() for source in (of, Placebo(of)))
    assert not torch.equal(own, shuffled)
    torch.testing.assert_close(own.sort()[0], shuffled.sort()[0])


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"a": (3, 5)},
        {"a": (3, 4), "b": (2, 4)},
        {"a": (3, 4), "b": (2,)},
        {"a": (3, 4), "b": (3,), "c": (3,)},
        {"a": (3, 4, 1, 1)},
    ],
)
def test_what_is_no_single_linear_layer_is_no_head(shapes):
    assert linear({name: torch.zeros(shape) for name, shape in shapes.items()}, dim=4) is None


def test_a_layer_without_bias_is_one():
    layer = linear({"score.weight": torch.arange(8.0).reshape(2, 4)}, dim=4)
    assert layer is not None
    assert layer(torch.ones(1, 4)).tolist() == [[6.0, 22.0]]
