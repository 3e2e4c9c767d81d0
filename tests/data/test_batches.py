"""A step's batch is a function of seed and step, and of nothing else."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.data import views
from transfergrid.data.batches import Batch, Labelled, ViewBatches, join
from transfergrid.data.domain import LoadedDomain
from transfergrid.data.examples import Examples
from transfergrid.data.opened import OpenDomain
from transfergrid.data.streams import Augmenting, CellData, StepBatches, Stream
from transfergrid.data.task import Classification
from transfergrid.data.views import Prepared, View, byte_size, size_of, take
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.needs import Needs
from transfergrid.runs.allowed import add_source_domain, target_data
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import CLASSES, TinyDomain, TinyExamples, TinyPreprocess

TASK = Classification(CLASSES)


def view(n=11):
    examples = TinyDomain().load().pool
    indices = np.arange(5, 5 + n)
    return View(Prepared(examples, TinyPreprocess()), indices, examples.labels[indices])


def stream(n=11, seed=0, size=4, augmentation="none", name="target"):
    return Stream(view(n), name, seed, size, Augmenting(augmentation))


sizes = given(n=st.integers(2, 40), size=st.integers(2, 50), seed=st.integers(0, 2**40))


@sizes
def test_every_epoch_is_a_permutation(n, size, seed):
    made = stream(n, seed, size)
    steps = -(-3 * n // made.size)
    rows = np.concatenate([made.rows(step) for step in range(steps)])
    for epoch in range(3):
        assert sorted(rows[epoch * n : (epoch + 1) * n]) == list(range(n))


@sizes
def test_batches_have_one_size_and_it_is_never_one(n, size, seed):
    made = stream(n, seed, size)
    assert {len(made.rows(step)) for step in range(25)} == {min(size, n)}
    assert made.size >= 2


@sizes
def test_a_step_does_not_depend_on_the_steps_before(n, size, seed):
    forward, alone = stream(n, seed, size), stream(n, seed, size)
    rows = [forward.rows(step) for step in range(12)]
    for step in (11, 3, 7, 0):
        assert np.array_equal(alone.rows(step), rows[step])


def test_orders_differ_by_epoch_seed_and_stream():
    orders = [stream(size=11).rows(0), stream(size=11).rows(1), stream(size=11, seed=1).rows(0)]
    orders.append(stream(size=11, name="source").rows(0))
    assert len({tuple(order) for order in orders}) == 4


def test_augmentation_is_reproducible_and_differs_by_step_and_seed():
    one, again = stream(augmentation="light"), stream(augmentation="light")
    assert torch.equal(one.inputs(5)[0], again.inputs(5)[0])
    flips = {tuple(_flipped(stream(augmentation="light", seed=seed), 2)) for seed in range(6)}
    assert len(flips) > 2
    assert len({tuple(_flipped(one, step)) for step in range(6)}) > 2


def _flipped(made, step):
    inputs, rows = made.inputs(step)
    plain = made.view.inputs(rows)
    return [not torch.equal(a, b) for a, b in zip(inputs, plain, strict=True)]


def test_nothing_is_augmented_where_that_is_off_or_in_evaluation():
    assert not any(any(_flipped(stream(), step)) for step in range(6))
    whole = view()
    assert torch.equal(ViewBatches(whole, 4)[1].inputs, whole.inputs(np.arange(4, 8)))


def test_global_random_state_moves_nothing():
    torch.manual_seed(0)
    first = stream(augmentation="light").inputs(3)[0]
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(first, stream(augmentation="light").inputs(3)[0])


# All arms of a seed block -----------------------------------------------------------------------


def steps_of(strategy, labels=10, count=5):
    bench = Bench(strategy)
    return [bench.batch(bench.set_up(labels).data, step) for step in range(count)]


def test_arms_see_the_same_target_and_source_batches():
    plain, pooled, adversarial = map(steps_of, (FullFinetuning, SourceAndTarget, DomainAdversarial))
    for one, two, three in zip(plain, pooled, adversarial, strict=True):
        for other in (two, three):
            assert torch.equal(one.target.inputs, other.target.inputs)
            assert torch.equal(one.target.labels, other.target.labels)
            assert torch.equal(one.target.rows, other.target.rows)
        assert torch.equal(two.source[0].inputs, three.source[0].inputs)
        assert torch.equal(two.source[0].labels, three.source[0].labels)
        assert one.source == ()
        assert one.unlabelled is two.unlabelled is None
        assert three.unlabelled is not None


def test_a_longer_run_begins_with_the_batches_of_a_shorter_one():
    data = CellData(TASK, view(), None)
    short, long = (StepBatches(data, 0, range(steps), 4, Augmenting("light")) for steps in (4, 9))
    assert (len(short), len(long)) == (4, 9)
    for one, other in zip(short, long, strict=False):
        assert torch.equal(one.target.inputs, other.target.inputs)


def test_index_tells_the_place_in_the_training_part():
    data = CellData(TASK, view(), None)
    batch = StepBatches(data, 0, range(3), 4, Augmenting("none"))[2]
    assert torch.equal(batch.target.inputs, data.train.inputs(batch.target.rows.numpy()))
    assert np.array_equal(batch.target.labels, data.train.labels[batch.target.rows])


@dataclass(frozen=True, kw_only=True)
class OtherOrder(TinyDomain):
    """The same classes, listed the other way round."""

    @property
    def classes(self):
        return CLASSES[::-1]

    def load(self):
        loaded = super().load()
        pool = loaded.pool
        images = pool.read(np.arange(len(pool)))
        turned = TinyExamples("pool", images, len(CLASSES) - 1 - pool.labels)
        return LoadedDomain(turned, loaded.test, self.classes)


def test_source_labels_are_matched_to_the_target_by_name():
    plain = OpenDomain(config_of(TinyDomain()))
    data = CellData(TASK, None, None)
    same, other = Needs(domains=1, classes="same"), Needs(domains=1)
    add_source_domain(data, config_of(OtherOrder()), same, TinyPreprocess())
    add_source_domain(data, config_of(OtherOrder()), other, TinyPreprocess())
    matched, own = data.source
    assert np.array_equal(matched.labels, plain.loaded.pool.labels)
    assert np.array_equal(own.labels, 2 - plain.loaded.pool.labels)
    assert data.source_tasks == (TASK, Classification(CLASSES[::-1]))


def test_source_labels_have_the_noise_of_their_source_before_they_are_matched():
    found = {}
    for noise in (None, (0.5, 0), (0.5, 1)):
        data = CellData(TASK, None, None)
        needs = Needs(domains=1, classes="same")
        add_source_domain(data, config_of(OtherOrder()), needs, TinyPreprocess(), noise=noise)
        found[noise] = data.source[0].labels
    true = found[None]
    wrong = [(found[key] != true).mean() for key in ((0.5, 0), (0.5, 1))]
    assert wrong == pytest.approx([0.5 * (1 - 1 / len(CLASSES))] * 2, abs=0.2)
    assert (found[0.5, 0] != found[0.5, 1]).any()


@pytest.mark.parametrize("strategy", [FullFinetuning, SourceAndTarget, DomainAdversarial])
def test_a_strategy_gets_what_it_needs_and_no_more(strategy):
    bench = Bench(strategy)
    setup = bench.set_up(10)
    data = target_data(setup.target, setup.drawn, strategy.needs, setup.preprocess)
    assert len(setup.data.source) == strategy.needs.domains
    assert (data.unlabelled is not None) == strategy.needs.unlabelled


def test_unlabelled_examples_come_without_labels():
    data = Bench(DomainAdversarial).set_up(0).data
    assert data.train is None
    assert len(data.unlabelled.labels) == 0


# Inputs -----------------------------------------------------------------------------------------


def test_inputs_of_several_parts_are_handled_as_one():
    inputs = {"ids": torch.arange(6).reshape(3, 2), "mask": torch.ones(3, 2)}
    assert size_of(inputs) == 3
    assert byte_size(inputs) == 6 * 8 + 6 * 4
    assert torch.equal(take(inputs, torch.tensor([2]))["ids"], torch.tensor([[4, 5]]))
    both = join(Labelled(inputs, torch.zeros(3)), Labelled(inputs, torch.ones(3)))
    assert both.inputs["mask"].shape == (6, 2)
    assert both.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_split_too_large_for_memory_gives_the_same_inputs(monkeypatch):
    cached = view().inputs(np.array([3, 1]))
    monkeypatch.setattr(views, "CACHE_BYTES", 0)
    assert torch.equal(view().inputs(np.array([3, 1])), cached)


# Sequences ----------------------------------------------------------------------------------------


class Sequences:
    """Preprocessing that makes sequences as long as their number says."""

    def prepare(self, raw):
        lengths = torch.tensor([int(number) for number in raw])
        mask = (torch.arange(9)[None] < lengths[:, None]).long()
        return {"input_ids": mask * lengths[:, None], "attention_mask": mask}

    def finish(self, prepared, augmentation, rng):
        longest = int(prepared["attention_mask"].sum(1).max())
        return {name: value[:, :longest] for name, value in prepared.items()}


class Numbers(Examples):
    def __init__(self, numbers):
        self.numbers = np.array(numbers)
        self.labels = self.numbers % 2

    def read(self, indices):
        return self.numbers[indices]


def sequences(numbers):
    examples = Numbers(numbers)
    rows = np.arange(len(numbers))
    return View(Prepared(examples, Sequences()), rows, examples.labels)


def test_sequences_are_read_shortest_first_and_every_one_once():
    whole = sequences([7, 2, 9, 2, 5])
    assert list(whole.reading_order()) == [1, 3, 4, 0, 2]
    found = list(ViewBatches(whole, 2))
    assert [batch.inputs["input_ids"].shape[1] for batch in found] == [2, 7, 9]
    assert [label for batch in found for label in batch.labels.tolist()] == [0, 0, 1, 1, 1]


def test_images_are_read_as_they_stand():
    assert list(view(5).reading_order()) == [0, 1, 2, 3, 4]


def test_the_shorter_of_two_batches_of_sequences_is_padded():
    short, long = (ViewBatches(sequences([n, n]), 2)[0] for n in (3, 5))
    both = join(short, long)
    assert both.inputs["attention_mask"].sum(1).tolist() == [3, 3, 5, 5]
    assert both.inputs["input_ids"].shape == (4, 5)
    assert torch.equal(join(long, short).inputs["input_ids"][:2], long.inputs["input_ids"])


class Cutting(Sequences):
    def prepare(self, raw):
        return {**super().prepare(raw), "cut": torch.tensor([int(number) > 6 for number in raw])}

    def cut(self, prepared):
        return int(prepared["cut"].sum())


@pytest.mark.parametrize("most", [2, 100])
def test_what_the_model_is_shown_in_part_is_counted(monkeypatch, most):
    monkeypatch.setattr(views, "AT_ONCE", most)
    assert Prepared(Numbers([7, 2, 9, 2, 5]), Cutting()).n_cut() == 2
    assert view(5).prepared.n_cut() == 0


class Watched(Sequences):
    """As long as the longest of what is given, and padded with 5; counts what it prepares."""

    def __init__(self):
        self.fills = {"input_ids": 5}
        self.n = 0

    def prepare(self, raw):
        self.n += len(raw)
        made = super().prepare(raw)
        longest = max(int(number) for number in raw)
        made = {name: value[:, :longest] for name, value in made.items()}
        made["input_ids"] = torch.where(made["attention_mask"] == 1, made["input_ids"], 5)
        return made


ROW = 2 * 8
"""Bytes of a token in two tensors."""


@pytest.mark.parametrize("most", [2, 100])
def test_sequences_that_fit_are_prepared_once_and_as_if_together(monkeypatch, most):
    monkeypatch.setattr(views, "AT_ONCE", most)
    monkeypatch.setattr(views, "CACHE_BYTES", 5 * 9 * ROW)
    preprocess = Watched()
    prepared = Prepared(Numbers([2, 7, 1, 9, 2]), preprocess)
    expected = Watched().prepare(np.array([2, 7, 1, 9, 2]))
    for _ in range(3):
        rows = prepared.rows(np.arange(5))
        assert all(torch.equal(rows[name], expected[name]) for name in expected)
    assert preprocess.n == 5 + 1  # and one to begin with


@pytest.mark.parametrize("most", [2, 100])
def test_one_long_text_among_short_ones_counts_for_all(monkeypatch, most):
    """All would be padded to its length."""
    monkeypatch.setattr(views, "AT_ONCE", most)
    monkeypatch.setattr(views, "CACHE_BYTES", 10 * 9 * ROW - 1)
    preprocess = Watched()
    prepared = Prepared(Numbers([1, 1, 1, 9, 1, 1, 1, 1, 1, 1]), preprocess)
    assert prepared.lengths(np.arange(10)) is None
    looked_at = preprocess.n
    assert looked_at == 1 + (4 if most == 2 else 10)
    assert prepared.rows(np.array([0, 2]))["input_ids"].tolist() == [[1], [1]]
    assert preprocess.n == looked_at + 2


def test_a_batch_without_labelled_examples_says_so():
    with pytest.raises(BadInputError, match="no labelled examples: its phase reads neither"):
        Batch(unlabelled=torch.zeros(2, 1)).labelled()
