"""What is kept of frozen networks: computed once, whoever asks; damaged, never served."""

import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergrid.records.ledgers.cached import Store, TooLargeError

GIB = 2**30


def row(number):
    """What a network makes of an example: two arrays, the second of whole numbers."""
    return np.full((2, 3), number, dtype=np.float32) / 7, np.array([number, -number])


class Computing:
    """Computes rows in batches of four, last ones first, and counts them."""

    def __init__(self):
        self.asked = []

    def __call__(self, rows):
        for begin in range(0, len(rows), 4):
            batch = rows[begin : begin + 4][::-1]
            self.asked += batch.tolist()
            made = [row(number) for number in batch]
            yield batch, tuple(np.stack(column) for column in zip(*made, strict=True))


def expect(found, rows):
    for place, number in enumerate(rows):
        for array, wanted in zip(found, row(number), strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array[place], wanted)


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 30), min_size=1, max_size=9)),
        max_size=6,
    )
)
def test_each_row_is_computed_once_and_is_its_own(asked, tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    counts = {"a": Computing(), "b": Computing()}
    long = Store(root, GIB)
    for place, (name, rows) in enumerate(asked):
        entry = (long if place % 2 else Store(root, GIB)).entry({"of": name})
        expect(entry.rows(np.array(rows), counts[name]), rows)
    for name, computing in counts.items():
        wanted = {row for own, rows in asked if own == name for row in rows}
        assert sorted(computing.asked) == sorted(wanted)


def parts(root):
    return sorted(path.parent for path in root.glob("*/*/*/sums.json"))


@pytest.mark.parametrize("file", ["rows.npy", "0.npy", "1.npy", "sums.json"])
@pytest.mark.parametrize("how", ["turned", "cut", "gone"])
def test_what_is_damaged_is_computed_again_and_never_served(file, how, tmp_path):
    rows = np.arange(10)
    Store(tmp_path, GIB).entry({"of": 1}).rows(rows, Computing())
    [part] = parts(tmp_path)
    data = bytearray((part / file).read_bytes())
    if how == "turned":
        data[len(data) // 2] ^= 1
    if how == "gone":
        (part / file).unlink()
    else:
        (part / file).write_bytes(data[: len(data) // 2] if how == "cut" else data)
    again = Computing()
    expect(Store(tmp_path, GIB).entry({"of": 1}).rows(rows, again), rows)
    assert sorted(again.asked) == rows.tolist()
    assert len(parts(tmp_path)) == 1
    Store(tmp_path, GIB).entry({"of": 1}).rows(rows, Computing())


def test_nothing_in_it_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    rows = np.arange(3)
    Store(tmp_path, GIB).entry({"of": 1}).rows(rows, Computing())
    [part] = parts(tmp_path)
    import hashlib
    import pickle

    np.save(part / "0.npy", np.array([Trap()] * 3, dtype=object), allow_pickle=True)
    assert pickle.PROTO in (part / "0.npy").read_bytes()
    sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in part.glob("*.npy")}
    (part / "sums.json").write_text(json.dumps(sums))
    expect(Store(tmp_path, GIB).entry({"of": 1}).rows(rows, Computing()), rows)


def test_what_was_longest_not_used_goes_first(tmp_path):
    rows = np.arange(100)
    one = sum(a.nbytes for a in row(0)) * 100 + 3000
    store = Store(tmp_path, 3 * one)
    for name in "abc":
        store.entry({"of": name}).rows(rows, Computing())
        time.sleep(0.02)
    store.entry({"of": "a"}).rows(rows, Computing())
    Store(tmp_path, 3 * one).entry({"of": "d"}).rows(rows, Computing())
    assert sorted(kept.about["of"] for kept in store.entries()) == ["a", "c", "d"]
    expect(store.entry({"of": "b"}).rows(rows[:3], Computing()), rows[:3])  # still mapped
    assert sum(kept.bytes for kept in store.entries()) <= 3 * one
    assert {kept.rows for kept in store.entries()} == {100}


def test_what_would_not_fit_is_said_before_all_of_it_is_computed(tmp_path):
    computing = Computing()
    with pytest.raises(TooLargeError):
        Store(tmp_path, 1000).entry({"of": 1}).rows(np.arange(400), computing)
    assert len(computing.asked) == 4
    assert Store(tmp_path, 1000).entries() == []


def slow(rows):
    for number in rows:
        time.sleep(0.02)
        made = row(int(number))
        (LOG / f"{number}-{os.getpid()}").touch()
        yield np.array([number]), tuple(array[None] for array in made)


def work(root, log, rows, die_at=None):
    global LOG
    LOG = log

    def dying(missing):
        for place, made in enumerate(slow(missing)):
            if place == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield made

    found = Store(root, GIB).entry({"of": 1}).rows(np.array(rows), dying)
    expect(found, rows)


def started(*arguments):
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def test_one_of_many_workers_computes_and_the_others_wait(tmp_path):
    root, log = tmp_path / "store", tmp_path / "log"
    log.mkdir()
    rows = list(range(12))
    workers = [started(root, log, rows) for _ in range(4)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted(int(f.name.split("-")[0]) for f in log.iterdir()) == rows


def test_of_a_worker_that_is_killed_another_takes_over(tmp_path):
    root, log = tmp_path / "store", tmp_path / "log"
    log.mkdir()
    dying = started(root, log, list(range(8)), 3)
    while not any(log.iterdir()):
        time.sleep(0.01)
    waiting = started(root, log, list(range(8)))
    for worker in (dying, waiting):
        worker.join(60)
    assert dying.exitcode == -signal.SIGKILL
    assert waiting.exitcode == 0


def test_a_disk_that_takes_nothing_costs_a_line_and_no_result(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    rows, computing = np.arange(6), Computing()
    entry = Store(tmp_path, GIB).entry({"of": 1})
    expect(entry.rows(rows, computing), rows)
    expect(entry.rows(rows, computing), rows)
    assert sorted(computing.asked) == rows.tolist()
    assert capsys.readouterr().err.count("features were not kept") == 1
    assert Store(tmp_path, GIB).entries() == []


def test_clearing_says_how_much_it_freed(tmp_path):
    store = Store(tmp_path / "cache", GIB)
    assert store.clear() == 0
    store.entry({"of": 1}).rows(np.arange(50), Computing())
    [kept] = store.entries()
    assert store.clear() == kept.bytes > 50 * sum(a.nbytes for a in row(0))
    assert store.entries() == []
    computing = Computing()
    expect(store.entry({"of": 1}).rows(np.arange(2), computing), [0, 1])
    assert computing.asked == [1, 0]
