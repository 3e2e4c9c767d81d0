"""What a phase reads, and nothing else, is in its batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergrid.data.batches import Batch, Labelled, parts_of
from transfergrid.data.examples import Subset
from transfergrid.data.opened import OpenDomain
from transfergrid.data.streams import Augmenting, CellData, Episodes, StepBatches, Stream
from transfergrid.data.task import Classification
from transfergrid.data.text import TextExamples
from transfergrid.data.views import Prepared, View
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import CLASSES, TinyDomain, TinyPreprocess

TASK = Classification(CLASSES)


def whole(shift=0.0):
    return OpenDomain(config_of(TinyDomain(shift=shift))).whole("pool", TinyPreprocess())


@pytest.fixture(scope="module")
def data():
    target, hidden = whole(), whole()
    hidden.labels = hidden.labels[:0]
    attributes = torch.eye(3)
    sources = (whole(0.4), whole(0.8))
    return CellData(TASK, target, None, hidden, sources, (TASK, TASK), attributes)


def batch(data, *reads, step=3, augmentation="light"):
    return StepBatches(data, 5, range(step, step + 1), 8, Augmenting(augmentation), reads)[0]


@pytest.mark.parametrize(
    ("reads", "there"),
    [
        (("target",), {"target"}),
        (("source",), {"source"}),
        (("unlabelled",), {"unlabelled", "rows"}),
        (("views",), {"views", "rows"}),
        (("episode",), {"episode"}),
        (("attributes", "target"), {"attributes", "target"}),
        (("target", "source", "unlabelled"), {"target", "source", "unlabelled", "rows"}),
    ],
)
def test_what_is_not_read_is_absent(data, reads, there):
    found = vars(batch(data, *reads))
    assert {name for name, value in found.items() if value is not None and value != ()} == there


def test_another_view_is_of_the_same_examples(data):
    plain, seen = batch(data, "target").target, batch(data, "target", "again").target
    assert plain.again is None
    assert torch.equal(seen.inputs, plain.inputs)
    flipped = (seen.again != seen.inputs).flatten(1).any(1)
    assert 0 < flipped.sum() < len(flipped)  # by chance each is turned, or not, in either
    assert torch.equal(seen.again[flipped].flip(-1), seen.inputs[flipped])
    as_they_are = batch(data, "target", "again", augmentation="none").target
    assert torch.equal(as_they_are.again, as_they_are.inputs)
    first, second = parts_of(Batch(seen), 2)
    parts = torch.cat([first[0].target.again, second[0].target.again])
    assert torch.equal(parts, seen.again)


def test_another_view_is_one_of_the_few_that_there_are(data):
    def seen(*reads, **told):
        steps = StepBatches(data, 5, range(40), 8, Augmenting("light", **told), reads)
        return [steps[step].target for step in range(40)]

    few = seen("target", "again", views=1)
    assert all(torch.equal(one.again, one.inputs) for one in few)


def test_a_stream_is_the_same_whatever_else_is_read(data):
    alone, among = batch(data, "target"), batch(data, "source", "views", "target")
    assert torch.equal(alone.target.inputs, among.target.inputs)


def test_each_source_domain_has_its_own_stream(data):
    one, other = batch(data, "source").source
    assert not torch.equal(one.rows, other.rows)
    for part, view in zip((one, other), data.source, strict=True):
        assert np.array_equal(part.labels, view.labels[part.rows])


def test_rows_say_which_unlabelled_examples_they_are(data):
    found = batch(data, "unlabelled", augmentation="none")
    assert torch.equal(found.unlabelled, data.unlabelled.inputs(found.rows.numpy()))


def test_two_views_are_of_the_same_examples_and_not_alike(data):
    found, plain = batch(data, "views"), batch(data, "unlabelled")
    weak, strong = found.views
    assert torch.equal(weak, plain.unlabelled)
    assert weak.shape == strong.shape
    assert not torch.equal(weak, strong)


def test_labelled_examples_are_joined_sources_first(data):
    found = batch(data, "source", "target")
    joined = found.labelled()
    parts = [*found.source, found.target]
    assert torch.equal(joined.labels, torch.cat([part.labels for part in parts]))
    assert torch.equal(joined.inputs[16:], found.target.inputs)


# Episodes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 1, 3), (3, 5, 4)])
def test_an_episode_is_a_task_of_its_own(data, size):
    ways, shots, queries = size
    support, query = Episodes(data.source[0], 0, size, Augmenting("none")).episode(7)
    assert support.labels.tolist() == [way for way in range(ways) for _ in range(shots)]
    assert query.labels.tolist() == [way for way in range(ways) for _ in range(queries)]
    assert not {*support.rows.tolist()} & {*query.rows.tolist()}
    own = data.source[0].labels
    for way in range(ways):
        of = {own[row] for part in (support, query) for row in part.rows[part.labels == way]}
        assert len(of) == 1  # one class of the domain, under another name


def test_episodes_are_the_seed_blocks(data):
    drawn = [Episodes(data.source[0], seed, (2, 1, 1), Augmenting("none")) for seed in (0, 0, 1)]
    first, again, other = (
        torch.cat([part.rows for step in range(5) for part in one.episode(step)]) for one in drawn
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_class_makes_no_episode(data):
    view = data.source[0]
    alike = view.indices[view.labels == 0]
    alone = View(view.prepared, alike, np.zeros(len(alike), dtype=np.int64))
    with pytest.raises(BadInputError, match="two examples of two classes"):
        Episodes(alone, 0, (2, 1, 1), Augmenting("none")).episode(0)


# Parts --------------------------------------------------------------------------------------------


def test_parts_hold_every_example_once(data):
    found = batch(data, "source", "target", "views")
    pieces = parts_of(found, 3)
    assert sum(share for _, share in pieces) == pytest.approx(1.0)
    for take in (lambda b: b.target.inputs, lambda b: b.views[1], lambda b: b.rows):
        assert torch.equal(torch.cat([take(piece) for piece, _ in pieces]), take(found))
    assert torch.equal(
        torch.cat([piece.source[1].labels for piece, _ in pieces]), found.source[1].labels
    )


def test_a_batch_is_not_cut_into_more_parts_than_it_has_examples():
    tiny = Batch(Labelled(torch.zeros(2, 1), torch.zeros(2)))
    assert [share for _, share in parts_of(tiny, 5)] == [0.5, 0.5]
    assert parts_of(tiny, 1) == [(tiny, 1.0)]


def test_no_part_of_a_batch_lacks_a_stream():
    """A loss is a mean over its stream, and the mean of nothing is no number."""
    uneven = Batch(
        Labelled(torch.zeros(6, 1), torch.zeros(6)), torch.zeros(2, 1), rows=torch.arange(2)
    )
    assert [len(part.rows) for part, _ in parts_of(uneven, 3)] == [1, 1]


def test_what_blocks_made_of_several_domains_is_joined_part_by_part():
    first, second = (
        Labelled((torch.full((2, 3), value), torch.full((2, 1), -value)), torch.zeros(2))
        for value in (1.0, 2.0)
    )
    joined = Batch(target=second, source=(first,)).labelled().inputs
    assert joined[0][:, 0].tolist() == [1, 1, 2, 2]
    assert joined[1][:, 0].tolist() == [-1, -1, -2, -2]


def rows_of(inputs):
    """What each example of inputs is, padding left out."""
    if not isinstance(inputs, dict):
        return [row.tolist() for row in inputs]
    lengths = inputs["attention_mask"].sum(1).tolist()
    return [row[:n].tolist() for row, n in zip(inputs["input_ids"], lengths, strict=True)]


@pytest.mark.parametrize("modality", ["images", "texts"])
def test_a_view_of_a_number_is_the_same_for_every_arm(modality, data):
    view = data.train
    if modality == "texts":
        view = Bench(FullFinetuning).on_texts().set_up(10).data.train
    rows, numbers = np.array([4, 0, 2]), np.array([1, 0, 1])
    found = rows_of(view.fixed(rows, "light", numbers))
    for place, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        other = view.part(np.array([row, 1]))
        assert rows_of(other.fixed(np.array([0]), "light", np.array([number]))) == [found[place]]
    plain = rows_of(view.inputs(rows))
    views = [rows_of(view.fixed(rows, "light", np.full(3, number))) for number in range(9)]
    assert any(seen != plain for seen in views)
    assert any(seen != views[0] for seen in views)


def test_steps_draw_from_so_many_views_and_from_all_of_them(data):
    stream = StepBatches(data, 5, range(40), 8, Augmenting("light", 3), ["target"])
    uses = list(stream.uses())
    numbers = np.concatenate([use.numbers for use in uses])
    assert set(numbers.tolist()) == {0, 1, 2}
    assert np.bincount(numbers).min() > len(numbers) / 5
    for step in (0, 7, 39):
        rows, numbers = uses[step].rows, uses[step].numbers
        assert stream[step].target.rows.tolist() == rows.tolist()
        seen = data.train.fixed(rows, "light", numbers)
        assert torch.equal(stream[step].target.inputs, seen)


# Texts of like length ----------------------------------------------------------------------------


def texts(n, seed=0):
    lengths = np.random.default_rng(seed).geometric(0.05, size=n)
    examples = TextExamples(["a" * k for k in lengths], np.zeros(n, dtype=np.int64))
    return View(Prepared(examples, TinyPreprocess()), np.arange(n)), lengths


def order(view, steps, size=8, seed=5, group_by="length"):
    stream = Stream(view, "target", seed, size, Augmenting("none"), group_by=group_by)
    return np.array([stream.rows(step) for step in steps])


@given(st.integers(2, 700), st.integers(2, 40), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_grouped_by_length_every_example_still_comes_once_in_each_round(n, size, rounds, seed):
    view, _ = texts(n)
    size = min(size, n)
    rows = order(view, range(-(-rounds * n // size)), size, seed).ravel()[: rounds * n]
    for number in range(rounds):
        assert sorted(rows[number * n : (number + 1) * n]) == list(range(n))


def test_grouped_by_length_little_of_a_batch_is_padding():
    view, lengths = texts(1000)

    def padding(group_by):
        found = lengths[order(view, range(250), group_by=group_by)]
        return 1 - found.mean() / found.max(axis=1).mean()

    assert padding(None) > 0.5
    assert padding("length") < 0.15


def test_groups_are_of_the_seed_and_come_in_no_order_of_length():
    view, lengths = texts(1000)
    first, again, other = (order(view, range(120), seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    means = lengths[first[:30]].mean(axis=1)  # of one window
    assert abs(np.corrcoef(means, np.arange(30))[0, 1]) < 0.5
    late = order(view, range(100, 110))
    assert np.array_equal(late, first[100:110]), "a run can be cut anywhere"


def test_pairs_count_both_texts_and_images_have_no_length(data):
    pairs = TextExamples([("ab", "c"), ("", "abcd")], np.zeros(2, dtype=np.int64))
    assert list(pairs.characters) == [3, 4]
    assert list(Subset(pairs, np.array([1])).characters) == [4]
    image = data.train
    assert image.characters() is None
    assert np.array_equal(order(image, range(9)), order(image, range(9), group_by=None))
