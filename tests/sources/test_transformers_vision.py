"""Image models of transformers keep the backbone contract, family by family."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

from small_models import described
from transfergrid.records.errors import BadInputError
from transfergrid.sources.transformers import TransformersArchitecture
from transfergrid.sources.transformers_vision import (
    TransformersVisionArchitecture,
    TransformersVisionSource,
)

LAYERS = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
PATCHES = LAYERS | {"intermediate_size": 24, "image_size": 16, "patch_size": 4}
STAGES: dict[str, Any] = {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "vit": PATCHES,
    "deit": PATCHES | {"architectures": ["DeiTForImageClassification"]},
    "dinov2": PATCHES | {"mlp_ratio": 2},
    "beit": PATCHES | {"use_relative_position_bias": True},
    "convnext": STAGES | {"image_size": 32, "drop_path_rate": 0.2},
    "swin": {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [1, 2]}
    | {"num_heads": [2, 2], "window_size": 4},
    "resnet": STAGES | {"embedding_size": 8, "image_size": 32},
}
UNUSED = ("mask_token",)
"""What only masked pretraining needs."""


def written(root: Path, family: str, head: bool = False, **changes: Any) -> Path:
    """A folder with random weights, those of a classifier if asked for."""
    config = AutoConfig.for_model(family, **(FAMILIES[family] | changes))
    made = AutoModelForImageClassification if head else AutoModel
    torch.manual_seed(7)
    made.from_config(config).save_pretrained(root / family)
    inputs = {"image_processor_type": "ViTImageProcessor", "size": 16, "resample": 3}
    (root / family / "preprocessor_config.json").write_text(json.dumps(inputs))
    return root / family


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("vision"), family, head=True)


@pytest.fixture(scope="module")
def backbone(folder, family):
    size = FAMILIES[family]["image_size"]
    source = TransformersVisionSource(TransformersVisionArchitecture(folder=str(folder), size=size))
    return source.initial().eval()


def images(backbone, n=3):
    rng = torch.Generator().manual_seed(0)
    return torch.randn(backbone.example(n).shape, generator=rng)


class TestEveryFamily:
    def test_dim_is_measured(self, backbone):
        assert backbone.dim == 16

    def test_blocks_own_every_parameter_and_buffer_once(self, backbone, family):
        blocks = backbone.blocks()
        parameters = [name for block in blocks for name in block.parameters]
        buffers = [name for block in blocks for name in block.buffers]
        assert sorted(parameters) == sorted(name for name, _ in backbone.named_parameters())
        assert sorted(buffers) == sorted(name for name, _ in backbone.named_buffers())
        assert len(blocks) == (3 if "depths" in FAMILIES[family] else 4)

    def test_a_cut_changes_nothing_and_parts_the_parameters(self, backbone):
        inputs, blocks = images(backbone), backbone.blocks()
        with torch.no_grad():
            whole = backbone.embed(inputs)
            for k in range(len(blocks) + 1):
                prefix, suffix = backbone.prefix(k), backbone.suffix(k)
                boundary = prefix(inputs)
                assert (suffix(boundary) - whole).abs().max() == 0.0, k
                if k:
                    assert all(map(torch.equal, boundary, backbone.boundaries(inputs)[k - 1]))
                    told = backbone.steered(inputs, lambda i, h, k=k: 0.5 * h if i == k else h)
                    if k < len(backbone.blocks()):
                        halved = backbone.suffix(k)((0.5 * boundary[0], *boundary[1:]))
                        assert torch.equal(told, halved), k
                before = {name for block in blocks[:k] for name in block.parameters}
                after = {name for block in blocks[k:] for name in block.parameters}
                assert dict(prefix.named_parameters()).keys() == before
                assert dict(suffix.named_parameters()).keys() == after

    def test_training_through_a_cut_is_training_the_whole(self, backbone):
        whole = copy.deepcopy(backbone).train()
        cut, inputs = copy.deepcopy(whole), images(backbone)
        prefix, suffix = cut.prefix(2), cut.suffix(2)
        torch.manual_seed(1)
        whole.embed(inputs).square().sum().backward()
        torch.manual_seed(1)
        suffix(prefix(inputs)).square().sum().backward()
        for name, parameter in whole.named_parameters():
            assert name.endswith(UNUSED) or parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad, cut.get_parameter(name).grad)
        for name, buffer in whole.named_buffers():
            assert torch.equal(buffer, cut.get_buffer(name))

    def test_the_embedding_is_what_the_classifier_was_fitted_to(self, backbone, folder, family):
        """Its weights on the embeddings give the whole model's logits."""
        whole = AutoModelForImageClassification.from_pretrained(folder).eval()
        inputs = images(backbone)
        with torch.no_grad():
            expected = whole(pixel_values=inputs).logits
            head = whole.classifier[-1] if family == "resnet" else whole.classifier
            embeddings = backbone.embed(inputs)
            if family == "dinov2":  # its classifier takes the mean of the patches beside
                hidden = backbone.network(pixel_values=inputs).last_hidden_state
                embeddings = torch.cat([embeddings, hidden[:, 1:].mean(1)], dim=1)
            torch.testing.assert_close(head(embeddings), expected)

    def test_the_head_alone_is_left_out(self, backbone, family):
        left_out = backbone.notes["weights_left_out"]
        assert left_out
        assert all("classifier" in name for name in left_out)


class TestInputs:
    def test_are_made_as_the_folder_says(self, tmp_path):
        folder = written(tmp_path, "vit")
        told = {
            "image_mean": [0.5, 0.4, 0.3],
            "image_std": [0.2, 0.2, 0.1],
            "resample": 2,
            "size": {"height": 16, "width": 16},
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(told))
        made = TransformersVisionArchitecture(folder=str(folder)).build().preprocess
        assert made.size == (16, 16)
        assert made.mean == (0.5, 0.4, 0.3)
        assert made.std == (0.2, 0.2, 0.1)
        assert made.interpolation == "bilinear"
        own = TransformersVisionArchitecture(folder=str(folder), mean=[0.5], std=[0.25]).build()
        assert (own.preprocess.mean, own.preprocess.std) == ((0.5,) * 3, (0.25,) * 3)

    @pytest.mark.parametrize("family", ["vit", "dinov2", "beit", "resnet"])
    def test_may_be_of_another_size_than_the_weights(self, tmp_path, family):
        folder = written(tmp_path, family)
        source = TransformersVisionSource(
            TransformersVisionArchitecture(folder=str(folder), size=24)
        )
        backbone = source.initial().eval()
        photo = np.zeros((1, 50, 40, 3), dtype=np.uint8)
        inputs = backbone.preprocess.finish(backbone.preprocess.prepare(photo), "none", None)
        assert inputs.shape == (1, 3, 24, 24)
        with torch.no_grad():
            whole = backbone.embed(inputs)
            assert torch.equal(backbone.suffix(2)(backbone.prefix(2)(inputs)), whole)


def test_a_pooler_that_only_pretraining_fitted_is_left_out(tmp_path):
    folder = written(tmp_path, "vit")
    source = TransformersVisionSource(TransformersVisionArchitecture(folder=str(folder), size=16))
    backbone = source.initial()
    assert backbone.notes["weights_left_out"] == ["pooler.dense.bias", "pooler.dense.weight"]
    assert not any("pooler" in name for name, _ in backbone.named_parameters())


def test_weights_without_the_pooled_norm_make_the_same_architecture(tmp_path):
    """As masked pretraining leaves them."""
    folder = written(tmp_path, "beit")
    file = folder / "model.safetensors"
    state = load_file(file)
    save_file({n: v for n, v in state.items() if "pooler" not in n}, file)
    source = TransformersVisionSource(TransformersVisionArchitecture(folder=str(folder), size=16))
    pretrained, scratch = source.initial(), source.architecture.build()
    assert pretrained.architecture == scratch.architecture
    scratch.load_state_dict(pretrained.state_dict())
    inputs = images(scratch)
    with torch.no_grad():
        assert torch.equal(scratch.eval().embed(inputs), pretrained.eval().embed(inputs))
    norm = ["pooler.layernorm.bias", "pooler.layernorm.weight"]
    assert pretrained.notes == {"weights_left_out": [], "weights_missing": norm}
    bias, weight = (pretrained.network.get_parameter(name) for name in norm)
    assert (bias == 0).all()
    assert (weight == 1).all()


def test_text_and_images_are_told_apart(tmp_path):
    text, image = described(tmp_path, "bert"), written(tmp_path, "vit")
    with pytest.raises(BadInputError, match=r"use source=transformers$"):
        TransformersVisionArchitecture(folder=str(text)).check()
    with pytest.raises(BadInputError, match="use source=transformers_vision"):
        TransformersArchitecture(folder=str(image)).check()


def test_a_size_that_cannot_be(tmp_path):
    folder = written(tmp_path, "vit")
    with pytest.raises(BadInputError, match="size must be a whole number"):
        TransformersVisionArchitecture(folder=str(folder), size=0).check()
    with pytest.raises(BadInputError, match="vit takes no images of 3 pixels"):
        TransformersVisionArchitecture(folder=str(folder), size=3).build()
