"""A claim tells who runs a cell and how far it is, to anyone who reads the folder."""

import json
import os
import time

import pytest

from transfergrid.records.ledgers.claims import FOLDER, Claims
from transfergrid.records.ledgers.signs import signs

CELL, OTHER = "0" * 16, "1" * 16
TOLD = {"label": "mnist x lora x digits, labels=5, seed=0", "worker": 1, "step": 3, "steps": 10}


@pytest.fixture
def claims(tmp_path):
    found = Claims(tmp_path, beat=0.02)
    yield found
    found.close()


def until(holds):
    """Wait for what other threads do."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_noted_is_told_with_the_signs_of_life(claims, tmp_path):
    assert claims.take(CELL)
    claims.note(CELL, TOLD)
    until(lambda: signs(tmp_path)[0].told == TOLD)
    (sign,) = signs(tmp_path)
    assert (sign.cell, sign.lives, sign.process) == (CELL, True, os.getpid())
    claims.note(CELL, TOLD | {"step": 4})
    until(lambda: signs(tmp_path)[0].told["step"] == 4)


def test_a_claim_that_tells_something_is_still_a_claim(claims, tmp_path):
    claims.take(CELL)
    claims.note(CELL, TOLD)
    until(lambda: signs(tmp_path)[0].told == TOLD)
    second = Claims(tmp_path)
    assert not second.take(CELL)
    claims.release(CELL)
    assert second.take(CELL)
    second.close()


def test_nothing_is_left_after_the_end_whenever_it_comes(tmp_path):
    for _ in range(30):
        claims = Claims(tmp_path, beat=0.001)
        for name in (CELL, OTHER):
            claims.take(name)
            claims.note(name, TOLD)
        time.sleep(0.005)
        claims.release(CELL)
        claims.close()
        assert not (tmp_path / FOLDER).exists()
    until(lambda: not list((tmp_path / "tmp").iterdir()))


def test_a_claim_that_another_one_let_go_does_not_come_back(claims, tmp_path):
    claims.take(CELL)
    (tmp_path / FOLDER / f"{CELL}.0").unlink()
    claims.note(CELL, TOLD)
    time.sleep(0.2)
    assert signs(tmp_path) == []


def test_what_is_not_held_is_not_told(claims, tmp_path):
    claims.note(CELL, TOLD)
    assert signs(tmp_path) == []


def test_who_is_gone_is_seen_to_be_gone(claims, tmp_path):
    claims.take(CELL)
    place = tmp_path / FOLDER / f"{CELL}.0"
    claims.close()
    place.parent.mkdir()
    told = {"place": "far boot", "process": 7, "began": "1", "told": TOLD}
    place.write_text(json.dumps(told))
    (sign,) = signs(tmp_path)
    assert (sign.host, sign.process, sign.lives) == ("far", 7, True)
    os.utime(place, (time.time() - 200,) * 2)
    (sign,) = signs(tmp_path)
    assert (sign.lives, sign.told) == (False, TOLD)
    assert 190 < sign.silence < 300


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"told": 5}', '{"told": {"step": "x"}}', '{"told": {"since": "soon"}}', "\xff"],
)
def test_a_claim_that_tells_nonsense_tells_nothing(text, tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / f"{CELL}.0").write_bytes(text.encode("latin-1"))
    (sign,) = signs(tmp_path)
    assert (sign.cell, sign.told) == (CELL, {})


def test_reading_writes_nothing_and_needs_no_folder(tmp_path):
    assert signs(tmp_path / "nowhere") == []
    assert list(tmp_path.iterdir()) == []
