"""One of many runs a cell; who gives no sign of life holds nothing."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from transfergrid.records.ledgers.claims import FOLDER, Claims, now_held

CELL, OTHER = "0" * 16, "1" * 16


def claim_of(folder, name=CELL, number=0):
    return folder / FOLDER / f"{name}.{number}"


def rewritten(claim, **changes):
    """Let a claim be another process's."""
    told = json.loads(claim.read_text()) | changes
    claim.write_text(json.dumps(told))


def test_one_holds_it_until_it_lets_go(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(CELL)
    assert first.take(CELL), "it has it"
    assert not second.take(CELL)
    assert second.take(OTHER)
    assert second.others([CELL, OTHER]) == {CELL}
    first.release(CELL)
    assert second.take(CELL)
    second.close()
    assert not (tmp_path / FOLDER).exists(), "nothing is left"


def test_one_of_many_at_once_has_it(tmp_path):
    many = 16
    for number in range(10):
        identity, together = f"{number:016x}", Barrier(many)

        def take(identity=identity, together=together):
            own = Claims(tmp_path)
            together.wait()
            return own.take(identity)

        with ThreadPoolExecutor(many) as threads:
            won = [*threads.map(lambda _: take(), range(many))]
        assert sum(won) == 1


def test_who_gives_no_sign_of_life_holds_nothing(tmp_path):
    first, second = Claims(tmp_path, lease=5.0, beat=600), Claims(tmp_path, lease=5.0)
    assert first.take(CELL)
    rewritten(claim_of(tmp_path), place="another machine")
    assert not second.take(CELL)
    long_ago = time.time() - 6
    os.utime(claim_of(tmp_path), (long_ago, long_ago))
    assert second.others([CELL]) == set()
    assert second.take(CELL)
    assert claim_of(tmp_path, number=1).exists(), "the dead claim stays, and counts"
    third = Claims(tmp_path, lease=5.0)
    assert not third.take(CELL)
    second.release(CELL)
    assert not claim_of(tmp_path).exists()


def test_signs_of_life_are_given_by_themselves(tmp_path):
    first, second = Claims(tmp_path, lease=1.0, beat=0.1), Claims(tmp_path, lease=1.0)
    assert first.take(CELL)
    rewritten(claim_of(tmp_path), place="another machine")
    time.sleep(1.5)
    assert not second.take(CELL)
    first.close()


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(CELL)
    rewritten(claim_of(tmp_path), process=gone.pid)
    assert second.take(CELL)


def test_a_number_that_another_process_has_now_is_not_mistaken_for_it(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(CELL)
    rewritten(claim_of(tmp_path), began="1")
    assert second.take(CELL)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"place": 1}', "\x00" * 99])
def test_a_claim_that_says_nothing_lives_as_long_as_its_time(tmp_path, text):
    first, second = Claims(tmp_path, beat=600), Claims(tmp_path)
    assert first.take(CELL)
    claim_of(tmp_path).write_text(text)
    assert not second.take(CELL)
    os.utime(claim_of(tmp_path), (0, 0))
    assert second.take(CELL)


def test_where_no_links_can_be_made_a_new_file_is_one(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", link)
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(CELL)
    assert not second.take(CELL)


def test_who_only_looks_leaves_no_trace(tmp_path):
    assert now_held(tmp_path, [CELL]) == set()
    assert [*tmp_path.iterdir()] == []


def test_who_looks_where_nothing_can_be_written_sees_who_lives(tmp_path, monkeypatch):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(CELL)

    def touch(self, *_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(type(tmp_path), "touch", touch)
    assert second.others([CELL]) == {CELL}
    os.utime(claim_of(tmp_path), (0, 0))
    assert second.others([CELL]) == set()
