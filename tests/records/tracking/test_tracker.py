"""A tracker tells W&B of every run, and never costs a cell."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.records.tracking.tracker import RunCard, SafeTracker, tracked, unique
from transfergrid.records.tracking.wandb_tracker import WandbTracker, logged_in
from wandb_files import offline_runs


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in to W&B, and its environment asks for nothing.

    Where its process listens stays: put back later, it could be that of one that has ended.
    """
    for key in {key for key in os.environ if key.startswith("WANDB_")} - {"WANDB_SERVICE"}:
        monkeypatch.delenv(key)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def card(tmp_path: Path) -> RunCard:
    return RunCard(
        unique("cell-1"), "a cell", "a group", "adapt", ("a", "b"), {"seed": 3}, tmp_path
    )


@pytest.mark.usefixtures("outside")
def test_the_summary_is_not_overwritten_by_the_last_row(tmp_path: Path, card: RunCard) -> None:
    tracker = WandbTracker()
    with tracked(tracker, card) as summary:
        tracker.log({"train/loss": 2.0, "examples_seen": 8}, 1)
        tracker.log({"validation/accuracy": 0.5}, 1)
        summary["validation/accuracy"] = 0.75  # of the chosen step
    [run] = offline_runs(tmp_path)
    assert run.summary["validation/accuracy"] == 0.75
    row = run.history[0]
    assert (row["train/loss"], row["validation/accuracy"], row["_step"]) == (2.0, 0.5, 1)


@pytest.mark.usefixtures("outside")
def test_a_run_that_raises_is_closed_as_failed_and_the_next_is_its_own(
    tmp_path: Path, card: RunCard
) -> None:
    tracker = WandbTracker()
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), tracked(tracker, replace(card, id=unique("cell-1"))):
            raise error
    after = RunCard(unique("cell-2"), "next", "g", "adapt", ("x" * 200, "x" * 200), {"seed": 4})
    with tracked(WandbTracker(folder=str(tmp_path)), after) as summary:
        summary["test/accuracy"] = 1.0
    runs = offline_runs(tmp_path)
    last = next(run for run in runs if run.id.startswith(after.id))
    assert last.config["seed"] == 4
    assert [len(tag) for tag in last.tags] == [64]
    assert sorted(run.exit_code for run in runs) == [0, 1, 1]


@pytest.mark.usefixtures("outside")
def test_hooks_of_the_process_stay_and_later_runs_start_no_process(card: RunCard) -> None:
    hooks = sys.exit, sys.excepthook
    with tracked(WandbTracker(), card):
        pass
    assert (sys.exit, sys.excepthook) == hooks
    service = {child.pid for child in psutil.Process().children(recursive=True)}
    for _ in range(5):
        with tracked(WandbTracker(), replace(card, id=unique("cell-1"))):
            pass
    now = {child.pid for child in psutil.Process().children(recursive=True)}
    assert now <= service, "what takes seconds to start is started once"


def break_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)


def break_init(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def init(**_: Any) -> None:
        raise RuntimeError("no start\ntoday")

    monkeypatch.setattr(wandb, "init", init)


def break_log(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("died midway")

    run = SimpleNamespace(log=fail, finish=fail, summary={})
    monkeypatch.setattr(wandb, "init", lambda **_: run)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("breakage", [break_import, break_init, break_log])
def test_broken_wandb_costs_no_cell_and_one_line(
    breakage: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    breakage(monkeypatch)
    ledger = Ledger(tmp_path)
    record = run_tiny_cell(ledger, WandbTracker())
    assert ledger.read(record.id).score is not None
    warnings = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("transfergrid: warning: scratch digits labels=2 seed=0")


def run_tiny_cell(ledger: Ledger, tracker: Any, training: Any = None) -> Record:
    from hydra import compose, initialize_config_dir  # composes a cell as the command does
    from omegaconf import OmegaConf

    from transfergrid.records.cell import Cell, Names, Parts
    from transfergrid.records.shipped import conf_dir
    from transfergrid.runs.cell import run_cell
    from transfergrid.runs.machine import Machine

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("config", ["strategy=scratch", "training.steps=3"])
    plain: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)
    parts = Parts(**dict.fromkeys(("source", "strategy", "target", "training"), "0" * 16))
    names = Names(strategy="scratch", target="digits")
    config = {key: plain[key] for key in ("source", "strategy", "target", "training")}
    config["training"] |= training or {}
    cell = Cell(id="0" * 16, names=names, parts=parts, labels=2, seed=0, config=config)
    return run_cell(cell, ledger, Machine(accelerator="cpu"), tracker)


class Remembers:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.summaries: list[dict[str, Any]] = []

    def start(self, card: RunCard) -> None:
        self.told.append(("start", card))

    def log(self, values: Any, step: int) -> None:
        self.told.append(("log", step))

    def finish(self, summary: Any, failed: bool = False) -> None:
        self.told.append(("finish", failed))
        self.summaries.append(dict(summary))


def test_a_cell_that_fails_closes_its_run_and_keeps_its_id_the_next_time(tmp_path: Path) -> None:
    tracker = Remembers()
    for _ in range(2):
        with pytest.raises(FloatingPointError):
            run_tiny_cell(Ledger(tmp_path), tracker, {"lr": 1e30, "optimizer": "sgd"})
    assert [what for what, _ in tracker.told].count("finish") == 2
    assert all(value for what, value in tracker.told if what == "finish")
    first, second = (card for what, card in tracker.told if what == "start")
    assert (first.id, first.group) == (second.id, second.group)


def test_trouble_in_one_run_leaves_the_next_alone(
    card: RunCard, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = Remembers()
    tracker = SafeTracker(inner)

    def fail(*_: Any) -> None:
        raise RuntimeError("once")

    inner.log = fail  # type: ignore[method-assign]
    with tracked(tracker, card):
        tracker.log({}, 1)
        tracker.log({}, 2)
    del inner.log  # type: ignore[method-assign]
    with tracked(tracker, card):
        tracker.log({}, 3)
    assert [what for what, _ in inner.told] == ["start", "finish", "start", "log", "finish"]
    assert capsys.readouterr().err.count("once") == 1


class Slow(Remembers):
    """A tracker that takes a thousand seconds over everything, by a clock of its own."""

    lost = 0.0

    def start(self, card: RunCard) -> None:
        super().start(card)
        Slow.lost += 1000

    def log(self, values: Any, step: int) -> None:
        Slow.lost += 1000


def test_what_a_tracker_takes_is_no_cost_of_the_cell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + Slow.lost)
    monkeypatch.setattr("transfergrid.runs.cost.time", clock)
    seconds = run_tiny_cell(Ledger(tmp_path), Slow()).cost.seconds
    assert Slow.lost >= 2000
    assert 0 < seconds.total < 1000
    parts = (seconds.load, seconds.train, seconds.evaluate, seconds.diagnose)
    assert all(0 <= part < 1000 for part in parts)


def test_a_cell_that_fails_before_it_is_built_has_a_run_that_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise BadInputError("no such file")

    monkeypatch.setattr("transfergrid.runs.cell.set_up", broken)
    tracker = Remembers()
    with pytest.raises(BadInputError):
        run_tiny_cell(Ledger(tmp_path), tracker)
    [(_, card), (_, failed)] = tracker.told
    assert (card.config["cell"], card.job_type) == ("0" * 16, "adapt")
    assert failed
    assert tracker.summaries == [{"failed": "BadInputError: no such file"}]


@pytest.mark.usefixtures("outside")
def test_logged_in_means_a_key_in_the_environment_or_in_netrc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not logged_in("https://wandb.example")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine wandb.example login user password none\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert logged_in("https://wandb.example")
    assert not logged_in("https://other.example")
    monkeypatch.setenv("WANDB_API_KEY", "none")
    assert logged_in("https://other.example")


@pytest.mark.usefixtures("outside")
def test_disabled_writes_nothing_and_needs_no_wandb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, card: RunCard
) -> None:
    break_import(monkeypatch)
    with tracked(WandbTracker(mode="disabled"), card) as summary:
        summary["x"] = 1
    assert not list(tmp_path.iterdir())


def test_a_misspelt_mode_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInputError, match="offline"):
        WandbTracker(mode="offlin")


def test_configs_hold_exactly_the_arguments() -> None:
    from omegaconf import OmegaConf

    from transfergrid.records.shipped import conf_dir

    shipped = OmegaConf.to_container(OmegaConf.load(conf_dir() / "tracking" / "wandb.yaml"))
    assert isinstance(shipped, dict)
    shipped.pop("about")
    assert shipped == config_of(WandbTracker())
