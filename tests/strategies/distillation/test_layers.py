"""Layers of any two networks are brought to a form in which they can be compared."""

from dataclasses import dataclass

import pytest
import torch

from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.sources.preprocessing.text import TextPreprocess
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.strategies.distillation.attention_transfer import AttentionTransfer
from transfergrid.strategies.distillation.fitnets import Fitnets
from transfergrid.strategies.distillation.layers import as_map, number_of, resized
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyArchitecture
from transfergrid.testing.tiny_text import TinyTextArchitecture
from transfergrid.testing.tiny_tokens import TinyTokenSource

IMAGES = torch.zeros(2, 3, 8, 8)
TEXTS = {"attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}


def test_maps_stay_and_those_with_channels_last_are_turned():
    maps = torch.rand(2, 5, 4, 4)
    assert torch.equal(as_map(maps, IMAGES), maps)
    assert torch.equal(as_map(maps.permute(0, 2, 3, 1), IMAGES), maps)


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize(("image", "grid"), [((8, 8), (14, 14)), ((8, 16), (7, 14))])
def test_tokens_of_an_image_are_the_grid_of_its_patches(before, image, grid):
    patches = torch.rand(2, *grid, 6)
    tokens = torch.cat([torch.rand(2, before, 6), patches.flatten(1, 2)], dim=1)
    found = as_map(tokens, torch.zeros(2, 3, *image))
    assert torch.equal(found, patches.permute(0, 3, 1, 2))


def test_tokens_of_a_text_are_zero_where_there_is_none():
    tokens = torch.rand(2, 3, 6)
    found = as_map(tokens, TEXTS)
    assert found.shape == (2, 6, 3, 1)
    assert torch.equal(found[0, :, :, 0], tokens[0].T)
    assert torch.equal(found[1, :, 0, 0], tokens[1, 0])
    assert found[1, :, 1:].abs().sum() == 0


def test_a_vector_has_one_place_and_nothing_else_is_a_layer():
    assert as_map(torch.rand(2, 7), IMAGES).shape == (2, 7, 1, 1)
    with pytest.raises(ImpossibleError, match="neither maps nor tokens"):
        as_map(torch.rand(2, 7, 1, 1, 1), IMAGES)


def test_larger_maps_become_means():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(resized(maps, (2, 2)), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))


def test_a_layer_has_a_number_and_a_name():
    backbone = TinyArchitecture().build()
    assert [number_of(backbone, told, "layer") for told in (1, "stem", 2, "body")] == [1, 1, 2, 2]
    for wrong in (0, 3, "neck", "middle"):
        with pytest.raises(BadInputError, match=f"layer={wrong}: the layers of .* are 1 stem, 2 b"):
            number_of(backbone, wrong, "layer")


def test_a_network_of_one_block_has_no_layer(monkeypatch):
    backbone = TinyArchitecture().build()
    monkeypatch.setattr(backbone, "blocks", lambda granularity: [None])
    with pytest.raises(ImpossibleError, match="one block"):
        number_of(backbone, 1, "layer")


def bench(kind, **more):
    return Bench(kind, {"teacher": FullFinetuning(), **more})


@pytest.mark.parametrize("kind", [Fitnets, AttentionTransfer])
def test_a_student_may_be_larger_than_its_teacher_and_of_another_kind(kind):
    """Maps of 4 by 4 of a picture of 8 by 8 against 6 by 6 of one of 16 by 16."""
    student = SmallCNN(size=16, channels=1, widths=(4, 5, 6))
    layers = {Fitnets: {"teacher_layer": 1, "student_layer": "stem"}}.get(kind, {})
    run = bench(kind, student=student, **layers).run(10)
    own, theirs = run.setup.strategy, run.setup.strategy.teacher
    assert (own.backbone.image_shape, theirs.backbone.dim) == ((1, 16, 16), 12)
    alone = Bench(FullFinetuning).run(10)
    taught = theirs.state_dict()
    assert all(torch.equal(taught[name], value) for name, value in alone.state.items())


@pytest.mark.parametrize("kind", [Fitnets, AttentionTransfer])
def test_tokens_teach_maps(kind):
    pairs = {"teacher_layers": [1], "student_layers": [1]}
    layers = {Fitnets: {"student_layer": 1}}.get(kind, pairs)
    made = bench(kind, student=TinyArchitecture(3), **layers)
    made.source = TinyTokenSource()
    strategy = made.run(10).setup.strategy
    shape = strategy.shape if kind is Fitnets else strategy.pairs[0]
    assert shape == ((8, 2, 2) if kind is Fitnets else (0, 0, (2, 2)))


@dataclass(frozen=True)
class ShortTexts(TinyTextArchitecture):
    """Takes five words at most."""

    def build(self):
        backbone = super().build()
        backbone.preprocess = TextPreprocess.of(backbone.preprocess.tokenizer, 5)
        return backbone


def test_texts_cut_otherwise_are_compared_by_their_means_or_not_at_all():
    run = bench(Fitnets, student=ShortTexts(6)).on_texts().run(10)
    assert run.setup.strategy.shape == (8, 1, 1)
    with pytest.raises(ImpossibleError, match="the student reads other tokens"):
        bench(AttentionTransfer, student=ShortTexts(6)).on_texts().set_up(10)
