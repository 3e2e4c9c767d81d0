"""Teacher and student are shown the same examples, each by its own preprocessing."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from transfergrid.data.examples import ArrayExamples
from transfergrid.data.streams import Augmenting
from transfergrid.data.views import Prepared, View
from transfergrid.records.errors import BadInputError
from transfergrid.records.training import Training
from transfergrid.runs.starting import check_same_kind
from transfergrid.sources.preprocessing.images import ImagePreprocess
from transfergrid.sources.preprocessing.text import TextPreprocess
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.cutting import in_pieces
from transfergrid.testing.tiny import TinyArchitecture, TinyBackbone, TinyPreprocess
from transfergrid.testing.tiny_text import TinyTextArchitecture, TinyTextBackbone, TinyTextExamples


@dataclass(frozen=True)
class LargePreprocess(TinyPreprocess):
    """Pictures of twice the size, on another scale."""

    def prepare(self, raw):
        return F.interpolate(super().prepare(raw), scale_factor=2)

    def finish(self, prepared, augmentation, rng):
        return 10 * super().finish(prepared, augmentation, rng)


class LargeBackbone(TinyBackbone):
    def __init__(self, width):
        super().__init__(width)
        self.preprocess = LargePreprocess()
        self.network.dense = torch.nn.Linear(16 * width, 2 * width)

    def example(self, batch=1):
        return F.interpolate(super().example(batch), scale_factor=2)


@dataclass(frozen=True)
class LargeArchitecture(TinyArchitecture):
    def build(self):
        return LargeBackbone(self.width)


def bench(**plan) -> Bench:
    told = {"steps": 8, "batch_size": 8, "validations": 4, "lr": 0.01, **plan}
    arguments = {"teacher": FullFinetuning(), "student": LargeArchitecture(3)}
    return Bench(Distillation, arguments, training=Training(**told))


PLANS = [{}, {"augmentation": "light"}, {"augmentation": "light", "views": 3}]


@pytest.mark.parametrize("plan", PLANS)
def test_each_sees_its_own_inputs_of_the_same_examples_turned_alike(plan):
    cell = bench(**plan).set_up(10)
    batch = bench(**plan).batch(cell.data, 3, ("target", "taught"))
    own, theirs = batch.target.inputs, batch.target.for_teacher
    assert own.shape[1:] == (1, 16, 16)
    assert theirs.shape[1:] == (1, 8, 8)
    torch.testing.assert_close(own[..., ::2, ::2] / 10, theirs)
    alone = Bench(FullFinetuning, training=bench(**plan).training)
    torch.testing.assert_close(alone.batch(alone.set_up(10).data, 3).target.inputs, theirs)


def test_a_phase_that_does_not_read_them_has_the_students_alone():
    cell = bench().set_up(10)
    assert bench().batch(cell.data, 0, ("target",)).target.taught is None


def test_equal_inputs_are_made_once():
    same = replace(bench(), arguments={"teacher": FullFinetuning(), "student": TinyArchitecture(3)})
    cell = same.set_up(10)
    assert cell.data.taught is None
    target = same.batch(cell.data, 0, ("target", "taught")).target
    assert target.taught is None
    assert target.for_teacher is target.inputs


@pytest.mark.parametrize("plan", PLANS[1:])
def test_a_teacher_becomes_what_it_becomes_alone_whatever_its_student_takes(plan):
    run = bench(**plan).run(10)
    alone = Bench(FullFinetuning, training=bench(**plan).training).run(10)
    taught = run.setup.strategy.teacher.state_dict()
    assert all(torch.equal(taught[name], tensor) for name, tensor in alone.state.items())
    assert run.setup.strategy.backbone.dim == 6


def test_it_is_cut_and_goes_on():
    made = bench(augmentation="light")
    whole = made.run(10)
    state, _ = in_pieces(made, 10, [3, 11])
    assert all(torch.equal(state[name], tensor) for name, tensor in whole.state.items())


def centre(images: torch.Tensor) -> torch.Tensor:
    """Return where the mass of each image lies, from 0 to 1 across and down, (n, 2)."""
    weight = images.sum(1) / images.sum((1, 2, 3), keepdim=True)[:, 0]
    places = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    return torch.stack([(weight.sum(1) * places).sum(1), (weight.sum(2) * places).sum(1)], dim=1)


@pytest.mark.parametrize("views", [None, 2])
def test_an_image_is_moved_alike_whatever_the_size(views):
    images = np.zeros((6, 96, 96, 3), dtype=np.uint8)
    images[:, 20:40, 50:80] = 255
    examples = ArrayExamples(images, np.zeros(6, dtype=np.int64))
    found = []
    for size in (32, 48):
        preprocess = ImagePreprocess((size, size), 3, (0.0,) * 3, (1.0,) * 3)
        view = View(Prepared(examples, preprocess), np.arange(6), examples.labels)
        augmenting = Augmenting("light", views)
        found.append(centre(augmenting.inputs(view, np.arange(6), 1, "target", 2)))
    assert (found[0] - found[0].mean(0)).abs().max() > 0.01  # they are not all where they were
    assert (found[0] - found[1]).abs().max() < 0.002


class OtherTokenizer(type(TinyTextBackbone(4).preprocess.tokenizer)):
    """Has the same words under other numbers."""

    def __call__(self, texts, **options):
        found = super().__call__(texts, **options)["input_ids"]
        return {"input_ids": [[token + 100 for token in row] for row in found]}


@pytest.mark.parametrize("views", [None, 2])
@pytest.mark.parametrize(("own", "theirs"), [(9, 9), (9, 4), (4, 9)])
def test_texts_lose_the_same_words_whatever_each_network_cuts_off(own, theirs, views):
    texts = [" ".join(f"w{i * 6 + j}" for j in range(1, 2 + i)) for i in range(5)] * 3
    examples = TinyTextExamples("texts", np.array(texts, dtype=object), np.zeros(15, np.int64))
    student = TextPreprocess.of(TinyTextBackbone(4).preprocess.tokenizer, own)
    teacher = TextPreprocess.of(OtherTokenizer(), theirs)
    rows, augmenting = np.arange(15), Augmenting("strong", views)
    seen, told = (View(Prepared(examples, p), rows, examples.labels) for p in (student, teacher))
    mine = augmenting.inputs(seen, rows, 1, "target", 2)
    other = augmenting.inputs(told, rows, 1, "target", 2, beside=seen)
    lost = 0
    for row, text in enumerate(texts):
        common = {int(word[1:]) for word in text.split()[: min(own, theirs)]}
        kept = common & {*_words(mine, row)}
        assert kept == common & {token - 100 for token in _words(other, row)}
        lost += len(common - kept)
    assert lost > 3


def _words(inputs, row):
    real = inputs["attention_mask"][row] == 1
    return inputs["input_ids"][row][real].tolist()


def test_texts_and_images_do_not_meet():
    with pytest.raises(BadInputError, match=r"takes texts, and the student, .*, images"):
        check_same_kind(TinyTextArchitecture(4).build(), TinyArchitecture(4).build())
