"""A ledger as one small file: what comes out is what went in, and nothing is written elsewhere."""

import hashlib
import io
import json
import lzma
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.packing import EXACT, NONE, ROUNDED, as_npy, pack, rounded
from transfergrid.records.ledgers.unpacking import unpack
from transfergrid.records.record import Status

CURVES = {"train_step": np.arange(3), "train_loss": np.array([1.0, 0.5, 0.2])}


def said(seed, n=50):
    """Return predictions of four classes that are no round numbers."""
    draws = np.random.default_rng(seed).dirichlet(np.full(4, 0.2), n).astype(np.float32)
    return Predictions(draws / draws.sum(axis=1, keepdims=True), np.arange(n) % 4)


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "results")
    for seed in range(6):
        found.write(made(seed=seed), said(seed), CURVES)
    failed = replace(made(seed=9), status=Status.FAILED, reason="out of memory")
    found.fail(failed, "Traceback\nout of memory\n")
    found.write_document("grids", {"id": "a", "cells": {}})
    found.write_document("looks", {"id": "2026-01-01T00:00:00+00:00-0", "at": "2026"})
    (found.root / "cache").mkdir()
    (found.root / "cache" / "large").write_bytes(bytes(10_000))
    return found


def files(root, but=()):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in ("tmp", *but)
    }


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_what_comes_out_of_a_copy_is_what_went_in_but_for_the_cache(ledger, tmp_path, out):
    packed = pack(ledger, tmp_path / "c.tar.xz")
    assert (packed.cells, packed.failed, packed.documents) == (6, 1, 2)
    assert unpack(tmp_path / "c.tar.xz", out) == EXACT
    before, after = files(ledger.root, but=("cache",)), files(out, but=("arrays",))
    assert before.keys() == after.keys()
    texts = [name for name in before if not name.endswith(".npz")]
    assert {name: after[name] for name in texts} == {name: before[name] for name in texts}
    for seed in range(6):
        identity = made(seed=seed).id
        for one, other in zip(
            ledger.predictions(identity), Ledger(out).predictions(identity), strict=True
        ):
            assert np.array_equal(one, other)
        assert Ledger(out).curves(identity).keys() == CURVES.keys()


def test_the_same_ledger_gives_the_same_file_whenever_it_is_packed(ledger, tmp_path, out):
    pack(ledger, tmp_path / "one.tar.xz")
    pack(ledger, tmp_path / "two.tar.xz")
    unpack(tmp_path / "one.tar.xz", out)
    pack(Ledger(out), tmp_path / "three.tar.xz")
    one, two, three = ((tmp_path / f"{n}.tar.xz").read_bytes() for n in ("one", "two", "three"))
    assert one == two == three


def test_what_cells_have_in_common_is_kept_once(ledger, tmp_path):
    pack(ledger, tmp_path / "c.tar.xz")
    with tarfile.open(tmp_path / "c.tar.xz") as tar:
        arrays = [name for name in tar.getnames() if name.startswith("arrays/")]
    assert len(arrays) == 6 + 1 + len(CURVES)  # probabilities of each, labels and curves of all


def test_rounding_moves_no_probability_far_and_no_decision(ledger, tmp_path, out):
    pack(ledger, tmp_path / "c.tar.xz", ROUNDED)
    assert unpack(tmp_path / "c.tar.xz", out) == ROUNDED
    for seed in range(6):
        exact, kept = said(seed), Ledger(out).predictions(made(seed=seed).id)
        assert np.allclose(kept.probabilities, exact.probabilities, rtol=0.002, atol=0)
        assert np.array_equal(kept.correct(), exact.correct())


def test_probabilities_that_are_all_but_equal_stay_as_they_are():
    near = np.nextafter(np.float32(0.5), np.float32(1))
    close = np.array([[0.5, near], [0.25, 0.75]], dtype=np.float32)
    assert rounded(close)[0].tolist() == close[0].tolist()
    assert rounded(close).argmax(axis=1).tolist() == [1, 1]


def test_numbers_are_never_rounded(tmp_path, out):
    ledger, values = Ledger(tmp_path / "results"), np.array([[1.2345678], [2.3456789]], np.float32)
    ledger.write(made(), Predictions(values, values[:, 0]))
    pack(ledger, tmp_path / "c.tar.xz", ROUNDED)
    unpack(tmp_path / "c.tar.xz", out)
    assert np.array_equal(Ledger(out).predictions(made().id).values, values)


def test_without_predictions_records_and_curves_are_left(ledger, tmp_path, out):
    pack(ledger, tmp_path / "c.tar.xz", NONE)
    assert unpack(tmp_path / "c.tar.xz", out) == NONE
    (cell,) = (made(seed=0).id,)
    assert Ledger(out).read(cell) == ledger.read(cell)
    assert not (Ledger(out).folder(cell) / "predictions.npz").exists()
    assert (Ledger(out).folder(cell) / "curves.npz").exists()


def test_what_is_damaged_is_left_out_and_named(ledger, tmp_path, out):
    broken, other = made(seed=0).id, made(seed=1).id
    (ledger.folder(broken) / "record.json").write_text("{")
    (ledger.folder(other) / "predictions.npz").write_bytes(b"no archive")
    assert pack(ledger, tmp_path / "c.tar.xz").cells == 5
    assert [any(name in line for line in ledger.warnings) for name in (broken, other)] == [True] * 2
    unpack(tmp_path / "c.tar.xz", out)
    assert Ledger(out).done([broken, other]) == {other}


def test_a_file_appears_whole_or_as_it_was(ledger, tmp_path, monkeypatch):
    (tmp_path / "c.tar.xz").write_bytes(b"before")
    monkeypatch.setattr("transfergrid.records.ledgers.packing.as_npy", lambda array: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pack(ledger, tmp_path / "c.tar.xz")
    assert (tmp_path / "c.tar.xz").read_bytes() == b"before"
    assert not list(tmp_path.glob(".c.tar.xz*"))


# Files of somebody's ---------------------------------------------------------------------------

ABOUT = json.dumps({"format": 1, "predictions": "exact"}).encode()
CELL = "cells/ab/ab00000000000000"


def archive(path, *members):
    """Write members, each a name with its bytes or a `TarInfo`, after what a copy begins with."""
    with lzma.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in (("about.json", ABOUT), *members):
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))


def link(name, to, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


ELSEWHERE = [
    *("../outside", "/tmp/outside", "cells/ab/../../../outside", f"{CELL}/../../../../outside"),
    *(f"{CELL}/record.json/../../x", "grids/../../x.json", "grids/.hidden.json", "cells/ab"),
    *(
        "model.safetensors",
        f"{CELL}/model/model.safetensors",
        "cells/cd/ab00000000000000/record.json",
    ),
    *("index/x.parquet", "arrays/x.npy", "grids/a/b.json", "attempts/ab00000000000000/x/log.txt"),
    *(f"./{CELL}/record.json", f"{CELL}/record.json\n", "grids/a\x1b]0;x.json"),
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_member_that_no_copy_has_is_refused_and_written_nowhere(name, tmp_path, out):
    archive(tmp_path / "c.tar.xz", (name, b"harm"))
    with pytest.raises(BadInputError, match="no copy of a ledger: it holds") as refused:
        unpack(tmp_path / "c.tar.xz", out)
    assert str(refused.value).isprintable()
    assert {path.name for path in tmp_path.rglob("*")} == {"c.tar.xz", "out"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_pipes_and_folders_are_refused(kind, tmp_path, out):
    archive(tmp_path / "c.tar.xz", (link(f"{CELL}/record.json", "/etc/passwd", kind), b""))
    with pytest.raises(BadInputError, match="no copy of a ledger: it holds"):
        unpack(tmp_path / "c.tar.xz", out)
    assert list(out.iterdir()) == []


def sums(**named):
    return f"{CELL}/arrays.json", json.dumps({"predictions": named}).encode()


def test_arrays_are_never_unpickled_and_have_their_checksum(tmp_path, out):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()[:32]
    told, array = sums(labels=digest), (f"arrays/{digest}.npy", stream.getvalue())
    archive(tmp_path / "c.tar.xz", told, array)
    with pytest.raises(BadInputError, match="pickled"):
        unpack(tmp_path / "c.tar.xz", out)
    archive(tmp_path / "d.tar.xz", told, (array[0], as_npy(np.arange(3))))
    with pytest.raises(BadInputError, match="not as it was packed"):
        unpack(tmp_path / "d.tar.xz", tmp_path / "d")
    archive(tmp_path / "e.tar.xz", told)
    with pytest.raises(BadInputError, match="is missing"):
        unpack(tmp_path / "e.tar.xz", tmp_path / "e")


@pytest.mark.parametrize("left", [0.3, 0.6, 0.99])
def test_a_file_that_was_cut_short_is_known(left, ledger, tmp_path, out):
    pack(ledger, tmp_path / "c.tar.xz")
    whole = (tmp_path / "c.tar.xz").read_bytes()
    (tmp_path / "c.tar.xz").write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(BadInputError, match="no whole copy"):
        unpack(tmp_path / "c.tar.xz", out)


@pytest.mark.parametrize("bytes_", [b"", b"strategy,target\n", b"PK\3\4", lzma.compress(b"text")])
def test_what_is_no_copy_is_refused_in_a_line(bytes_, tmp_path, out):
    (tmp_path / "c.tar.xz").write_bytes(bytes_)
    with pytest.raises(BadInputError, match="copy of a ledger") as refused:
        unpack(tmp_path / "c.tar.xz", out)
    assert "\n" not in str(refused.value)


def test_a_copy_of_a_newer_program_says_so(tmp_path, out, monkeypatch):
    monkeypatch.setattr("test_packing.ABOUT", b'{"format": 2, "predictions": "exact"}')
    archive(tmp_path / "c.tar.xz")
    with pytest.raises(BadInputError, match="newer than 1"):
        unpack(tmp_path / "c.tar.xz", out)


def test_a_copy_takes_a_small_part_of_what_its_ledger_takes(tmp_path):
    ledger = Ledger(tmp_path / "results")
    for seed in range(100):
        ledger.write(made(seed=seed), predicted([True, False] * 20), CURVES)
    pack(ledger, tmp_path / "c.tar.xz")
    whole = sum(map(len, files(ledger.root).values()))
    assert (tmp_path / "c.tar.xz").stat().st_size < whole / 20
