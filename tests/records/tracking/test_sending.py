"""Runs reach W&B's server beside the cells, which ask it nothing; what it does not take is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from transfergrid.records.tracking import sender as sending_process
from transfergrid.records.tracking.outbox import Outbox
from transfergrid.records.tracking.sender import Sender, answers
from transfergrid.records.tracking.sending import sending
from transfergrid.records.tracking.tracker import RunCard, tracked
from transfergrid.records.tracking.wandb_tracker import WandbTracker
from wandb_files import offline_runs
from wandb_server import Manner, Server, serving

FAILING: list[Manner] = [manner for manner in get_args(Manner) if manner not in ("well", "slow")]


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """W&B's environment holds a key and nothing else.

    Where its process listens stays: put back later, it could be that of one that has ended.
    """
    for key in {key for key in os.environ if key.startswith("WANDB_")} - {"WANDB_SERVICE"}:
        monkeypatch.delenv(key)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(sending_process, "PATIENCE", 60.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def card(tmp_path: Path) -> RunCard:
    return RunCard("cell", "a cell", "a group", "adapt", ("a",), {"seed": 3}, tmp_path)


def write(card: RunCard, score: float = 1.0) -> None:
    tracker = WandbTracker(mode="online")
    with tracked(tracker, card) as summary:
        tracker.log({"train/loss": 2.0}, 1)
        tracker.log({"train/loss": score}, 2)
        summary["score"] = score


def sender_to(server: Server | str, results: Path) -> Sender:
    url = server if isinstance(server, str) else server.url
    return Sender(Outbox(results / "wandb"), url)


def test_a_cell_asks_no_server_anything(
    server: Server, card: RunCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    write(card)
    assert server.asked == []


def test_runs_arrive_with_their_group_config_curve_and_numbers(
    server: Server, card: RunCard
) -> None:
    write(card)
    write(replace(card, id="other"))
    sender = sender_to(server, card.results)
    sender.close()
    assert (sender.sent, sender.taken) == (2, {})
    assert len(server.runs) == 2
    [run] = [run for name, run in server.runs.items() if name.startswith("cell-")]
    assert (run["groupName"], run["jobType"], run["exit"]) == ("a group", "adapt", 0)
    assert json.loads(run["config"])["seed"]["value"] == 3
    assert [row["train/loss"] for row in run["history"].values() if "train/loss" in row] == [2, 1]
    assert run["summary"]["score"] == 1.0
    assert not (card.results / "wandb" / "outbox").exists()
    sender_to(server, card.results).close()  # nothing is sent twice
    assert len(server.ended) == 2


def test_a_run_is_seen_while_it_grows(
    server: Server, card: RunCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_process, "LIVE_AFTER", -1.0)
    sender, tracker = sender_to(server, card.results), WandbTracker(mode="online")
    with tracked(tracker, card):
        tracker.log({"train/loss": 2.0}, 1)
        tracker.log({"train/loss": 1.0}, 2)
        sender.look()
        assert server.saw(lambda: any(run["history"] for run in server.runs.values()))
        assert server.ended == []
    sender.close()
    assert (sender.sent, len(server.ended)) == (1, 1)


@pytest.mark.parametrize("manner", [*FAILING, "unreachable"])
def test_what_a_failing_server_does_not_take_is_kept(
    manner: Manner, server: Server, card: RunCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(card)
    monkeypatch.setattr(sending_process, "ANSWERS", 0.5)
    monkeypatch.setattr(sending_process, "PATIENCE", 3.0)
    server.manner = "well" if manner == "unreachable" else manner
    failing = sender_to("http://127.0.0.1:9" if manner == "unreachable" else server, card.results)
    failing.close()
    assert failing.sent == 0
    assert len(failing.taken) == 1
    [kept] = offline_runs(card.results)
    assert (kept.summary["score"], kept.group) == (1.0, "a group")


def test_what_was_not_taken_is_sent_by_the_next_that_sends(server: Server, card: RunCard) -> None:
    write(card)
    sender_to("http://127.0.0.1:9", card.results).close()
    later = sender_to(server, card.results)
    later.close()
    assert (later.sent, later.taken) == (1, {})
    assert [run["summary"]["score"] for run in server.runs.values()] == [1.0]


def test_a_slow_server_gets_all_the_same(server: Server, card: RunCard) -> None:
    server.manner = "slow"
    write(card)
    sender = sender_to(server, card.results)
    sender.close()
    assert sender.sent == 1


def test_attempts_at_a_cell_are_one_run_that_the_last_one_makes(
    server: Server, card: RunCard
) -> None:
    for attempt in (1, 2):
        write(replace(card, config={"attempt": attempt}), score=float(attempt))
        time.sleep(1.1)  # W&B names folders by the second
    sender = sender_to(server, card.results)
    sender.close()
    [run] = server.runs.values()
    assert json.loads(run["config"])["attempt"]["value"] == 2
    assert run["summary"]["score"] == 2.0
    assert server.ended == [next(iter(server.runs))]  # the first was not sent, nor will it be


def test_a_run_that_cannot_be_read_takes_no_others_along(server: Server, card: RunCard) -> None:
    for name in ("one", "two", "three"):
        write(replace(card, id=name))
    [file] = (card.results / "wandb").glob("offline-run-*-two-*/*.wandb")
    file.write_bytes(b"no run at all")
    sender = sender_to(server, card.results)
    sender.close()
    assert sender.sent == 2
    assert {name.partition("-")[0] for name in server.ended} == {"one", "three"}


def test_a_run_in_the_midst_of_another_process_is_left_to_whoever_sends_then(
    server: Server, card: RunCard
) -> None:
    tracker = WandbTracker(mode="online")
    with tracked(tracker, card):
        first = sender_to(server, card.results)
        first.close()
        assert (first.sent, server.ended) == (0, [])
    second = sender_to(server, card.results)
    second.close()
    assert (second.sent, len(server.ended)) == (1, 1)


def test_two_that_send_never_send_the_same(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Outbox(tmp_path).put(name)
    first, second = Outbox(tmp_path), Outbox(tmp_path)
    assert sorted([*first.take(), *second.take()]) == ["a", "b", "c"]
    assert first.take() == []
    first.give_back("b")
    assert second.take() == ["b"]


def test_a_run_whose_writer_was_killed_is_whole(tmp_path: Path) -> None:
    code = "import sys; from transfergrid.records.tracking.outbox import Outbox as O; "
    code += "from pathlib import Path; O(Path(sys.argv[1])).put('killed')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    outbox = Outbox(tmp_path)
    outbox.put("alive")
    assert sorted(outbox.take()) == ["alive", "killed"]
    assert (outbox.is_whole("alive"), outbox.is_whole("killed")) == (False, True)


@pytest.mark.parametrize("manner", get_args(Manner))
def test_what_answers_is_a_server_that_could_take_a_run(
    manner: Manner, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.manner = manner
    monkeypatch.setattr(sending_process, "ANSWERS", 3.0 if manner == "slow" else 0.5)
    assert answers(server.url) == (manner in ("well", "slow", "stalls"))


def test_a_block_ends_when_its_runs_are_there_and_says_nothing(
    server: Server,
    card: RunCard,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with sending(WandbTracker(), card.results) as found:
        write(card)
    assert (found.sent, found.kept, len(server.ended)) == (1, 0, 1)
    assert "warning" not in capsys.readouterr().err
    assert not list((tmp_path / "tmp").iterdir())


def test_a_block_says_in_one_line_what_was_not_taken_and_how_it_is_sent_later(
    card: RunCard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with sending(WandbTracker(mode="online"), card.results) as found:
        write(card)
    assert (found.sent, found.kept) == (0, 1)
    [line] = capsys.readouterr().err.splitlines()
    assert f"wandb sync {card.results}/wandb/offline-run-*" in line


def test_nothing_is_started_offline(card: RunCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfergrid.records.tracking.sending.COMMAND", ("no-such-program",))
    monkeypatch.setenv("WANDB_MODE", "offline")
    with (
        sending(WandbTracker(), card.results),
        sending(WandbTracker(mode="disabled"), card.results),
    ):
        pass
