"""What a process that is gone left behind is known by its name, and nobody else's is touched."""

import os
import subprocess
import sys

from ledger_factory import made
from transfergrid.records.ledgers.claims import FOLDER, Claims
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process import living

TELL = "from transfergrid.records.process.living import unique_name; print(unique_name())"


def name_of_the_dead():
    """Return a name that a process gave which is gone by now."""
    said = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def test_a_name_tells_whether_its_process_is_gone():
    assert not living.is_of_the_dead(living.unique_name())
    dead = name_of_the_dead()
    assert living.is_of_the_dead(dead)
    assert living.is_of_the_dead(f"claim-{dead}")
    assert living.is_of_the_dead(f"{dead}.json")
    host, number, began, place, own = dead.rsplit("-", 4)
    elsewhere = "-".join((host, number, began, "0" * 8, own))
    assert not living.is_of_the_dead(elsewhere), "nothing is known of other machines"
    again = "-".join((host, str(os.getpid()), "1", place, own))
    assert living.is_of_the_dead(again), "its number is another process's by now"
    assert not living.is_of_the_dead("somebody's folder")


def test_the_end_of_a_grid_removes_what_the_dead_left_and_nothing_else(tmp_path):
    ledger, record = Ledger(tmp_path), made()
    ledger.write(record)
    dead, mine = name_of_the_dead(), living.unique_name()
    drafts = tmp_path / "tmp"
    for name in (dead, mine, "anything"):
        (drafts / name).mkdir()
    (drafts / f"clock-{dead}").touch()
    claims = tmp_path / FOLDER
    claims.mkdir()
    for identity in (record.id, "0" * 16):
        (claims / f"{identity}.0").write_text('{"place": "", "process": 1, "began": ""}')
        os.utime(claims / f"{identity}.0", (0, 0))
    own = Claims(tmp_path)
    assert own.take("1" * 16)
    ledger.compact()
    assert sorted(f.name for f in drafts.iterdir()) == sorted([mine, "anything"])
    assert sorted(f.name for f in claims.iterdir()) == ["0" * 16 + ".0", "1" * 16 + ".0"]
    own.close()
