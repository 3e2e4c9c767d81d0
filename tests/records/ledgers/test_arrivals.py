"""Whoever waits for cells of other machines sees each that comes, and lists little to do so."""

import os
import time

from transfergrid.records.files import folders
from transfergrid.records.ledgers import arrivals
from transfergrid.records.ledgers.arrivals import Arrivals

FIRST, SECOND, OTHER = "ab" + "0" * 14, "ab" + "1" * 14, "cd" + "0" * 14


def come(root, identity, kind="cells"):
    place = root / "cells" / identity[:2] if kind == "cells" else root / kind
    (place / identity).mkdir(parents=True)
    return place


def quiet(*places):
    """Let folders be as they are since long."""
    long_ago = time.time() - 60
    for place in places:
        os.utime(place, (long_ago, long_ago))


def test_what_comes_is_seen_once_its_shelf_is_quiet(tmp_path):
    seen = Arrivals(tmp_path)
    assert seen.done() == set(), "there is nothing yet"
    quiet(come(tmp_path, FIRST), come(tmp_path, OTHER))
    assert seen.done() == {FIRST, OTHER}
    assert seen.done() == set()
    shelf = come(tmp_path, SECOND)
    assert seen.done() == {FIRST, SECOND}, "of the shelf that has changed"
    assert seen.done() == {FIRST, SECOND}, "it may change again within one tick of its clock"
    quiet(shelf)
    seen.done()
    assert seen.done() == set()


def test_failed_attempts_are_seen_alike(tmp_path):
    seen = Arrivals(tmp_path)
    quiet(come(tmp_path, FIRST, "attempts"))
    assert (seen.tried(), seen.tried()) == ({FIRST}, set())


def test_where_nothing_changes_no_shelf_is_listed_until_all_are_again(tmp_path, monkeypatch):
    seen, listed = Arrivals(tmp_path), []
    quiet(come(tmp_path, FIRST))
    seen.done()
    real = folders.listed
    monkeypatch.setattr(folders, "listed", lambda place: listed.append(place.name) or real(place))
    seen.done()
    assert listed == ["cells"]
    monkeypatch.setattr(arrivals, "WHOLE", 0.0)
    assert seen.done() == {FIRST}, "a shared folder's times may lag behind"
