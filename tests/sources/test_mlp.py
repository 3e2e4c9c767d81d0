"""Networks for vectors: what they compute, how they are cut, and what they refuse."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from transfergrid.data.moons import Moons
from transfergrid.data.vector_table import VectorTable
from transfergrid.records.errors import BadInputError
from transfergrid.records.training import Training
from transfergrid.runs.starting import check_same_kind
from transfergrid.sources.linear import Linear
from transfergrid.sources.mlp import MLP
from transfergrid.sources.placebo import Placebo
from transfergrid.sources.preprocessing.vectors import VectorPreprocess
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.small_encoder import SmallEncoder
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.testing.tiny_text import TinyTextBackbone

NETWORKS = (
    MLP(5),
    MLP(5, (7, 3, 4), batch_norm=True),
    MLP(5, 6, depth=3, batch_norm=True, dropout=0.3),
    Linear(5),
    Linear(5, 2),
)
VECTORS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def weights(backbone):
    return [p for p in backbone.parameters() if p.ndim == 2], [
        p for p in backbone.parameters() if p.ndim == 1
    ]


def test_an_mlp_is_dense_layers_with_relu():
    backbone = MLP(5, (7, 3)).build()
    found = VECTORS
    for weight, bias in zip(*weights(backbone), strict=True):
        found = F.relu(F.linear(found, weight, bias))
    torch.testing.assert_close(backbone.embed(VECTORS), found)
    assert backbone.dim == 3


def test_a_linear_model_is_one():
    backbone = Linear(5, 2).build()
    weight, bias = (own[0] for own in weights(backbone))
    torch.testing.assert_close(backbone.embed(VECTORS), VECTORS @ weight.T + bias)
    assert [Linear(5, width).build().dim for width in (None, 3)] == [5, 3]


@pytest.mark.parametrize(
    ("told", "layers"),
    [
        ({}, (64, 64)),
        ({"widths": 8, "depth": 3}, (8, 8, 8)),
        ({"depth": 1}, (64,)),
        ({"widths": [4, 9]}, (4, 9)),
        ({"widths": (4, 9), "depth": 2}, (4, 9)),
    ],
)
def test_widths_and_depth_say_the_layers(told, layers):
    network = MLP(5, **told)
    assert network.layers == layers
    assert [block.name for block in network.build().blocks()] == [
        f"hidden{i + 1}" for i in range(len(layers))
    ]
    assert tuple(w.shape[0] for w in weights(network.build())[0]) == layers


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_every_cut_changes_nothing(network):
    torch.manual_seed(0)
    backbone = network.build().eval()
    whole, crossing = backbone.embed(VECTORS), backbone.boundaries(VECTORS)
    for k in range(len(backbone.blocks()) + 1):
        boundary = backbone.prefix(k)(VECTORS)
        assert torch.equal(backbone.suffix(k)(boundary), whole)
        if k:
            assert all(map(torch.equal, boundary, crossing[k - 1]))
    steered = backbone.steered(VECTORS, lambda number, hidden: hidden)
    assert torch.equal(steered, whole)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_blocks_own_every_parameter_and_buffer_once(network):
    backbone = network.build()
    blocks = backbone.blocks()
    assert [n for b in blocks for n in b.parameters] == [n for n, _ in backbone.named_parameters()]
    assert [n for b in blocks for n in b.buffers] == [n for n, _ in backbone.named_buffers()]
    assert bool([*backbone.named_buffers()]) == getattr(network, "batch_norm", False)


def test_batch_norm_stands_before_relu_and_dropout_behind_it():
    stage = MLP(5, 4, depth=1, batch_norm=True, dropout=0.3).build().network[0]
    kinds = [type(layer) for layer in stage.layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert stage.layers[3].p == 0.3


def test_fingerprints_tell_networks_apart():
    told = [
        {"widths": 8},
        {"widths": 8, "depth": 1},
        {"widths": 8, "batch_norm": True},
        {"widths": 8, "dropout": 0.1},
    ]
    torch.manual_seed(0)
    made = [MLP(5, **each).build() for each in told]
    torch.manual_seed(0)
    again = MLP(5, widths=[8, 8]).build()
    assert len({backbone.fingerprint() for backbone in made}) == 4
    assert again.fingerprint() == made[0].fingerprint()
    assert Linear(5).build().architecture != Linear(5, 4).build().architecture


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"inputs": 0}, "inputs must be a whole number from 1: 0"),
        ({"widths": 0}, "widths must be a whole number from 1.*0"),
        ({"widths": []}, r"widths must be .*a list of widths, not \[\]"),
        ({"widths": [3, 4], "depth": 3}, "depth=3 and 2 widths: give .* one for each layer"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1: 1"),
    ],
)
def test_impossible_networks_are_told(wrong, told):
    with pytest.raises(BadInputError, match=told):
        MLP(**{"inputs": 5, **wrong})


# Inputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augmentation", ["none", "light", "strong"])
def test_vectors_go_in_as_they_are_whatever_the_augmentation(augmentation):
    preprocess = VectorPreprocess(5)
    prepared = preprocess.prepare(VECTORS.numpy())
    finished = preprocess.finish(prepared, augmentation, torch.Generator())
    assert torch.equal(finished, VECTORS)
    assert preprocess.prepare([]).shape == (0, 5)
    with pytest.raises(BadInputError, match="augmentation 'heavy'"):
        preprocess.finish(prepared, "heavy", None)


@pytest.mark.parametrize("odd", [np.zeros((2, 4)), np.zeros((2, 5, 1)), np.zeros(5)])
def test_vectors_of_another_length_are_refused(odd):
    with pytest.raises(BadInputError, match="do not fit a network for 5 numbers"):
        VectorPreprocess(5).prepare(odd)


def test_a_small_encoder_stands_beside_one():
    made = SmallEncoder(16).beside(MLP(5).build())
    assert made.embed(VECTORS).shape == (6, 16)
    assert made.preprocess == VectorPreprocess(5)


def test_students_take_what_their_teachers_take():
    mlp, cnn, text = MLP(5).build(), SmallCNN().build(), TinyTextBackbone(8)
    check_same_kind(mlp, Linear(5).build())
    for teacher, student, told in (
        (mlp, cnn, "takes vectors, and the student, .*, images"),
        (cnn, mlp, "takes images, and the student, .*, vectors"),
        (text, mlp, "takes texts, and the student, .*, vectors"),
    ):
        with pytest.raises(BadInputError, match=told):
            check_same_kind(teacher, student)


# Sources -----------------------------------------------------------------------------------------


def source(architecture=None, domain=None):
    return TrainedHere(architecture or MLP(2), domain or Moons(seed=1), Training(steps=2))


def test_what_a_network_takes_is_what_its_domain_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path))
    source().check()
    source(Linear(2)).check()
    with pytest.raises(BadInputError, match=r"numbers, and .* mlp takes 3: .*inputs=2"):
        source(MLP(3)).check()
    with pytest.raises(BadInputError, match=r"source.domain holds vectors .*takes images"):
        source(SmallCNN()).check()
    (tmp_path / "t.csv").write_text("a,b,c,label\n" + "1,2,3,x\n4,5,7,y\n" * 9)
    table = VectorTable(str(tmp_path / "t.csv"), test_split=0.3)
    with pytest.raises(BadInputError, match=r"of 3 numbers.*source.architecture.inputs=3"):
        source(MLP(2), table).check()


def test_a_placebo_by_noise_is_of_images_alone():
    Placebo(source(), "permuted").check()
    with pytest.raises(BadInputError, match="random pixels, and this source takes vectors"):
        Placebo(source(), "noise").check()
