"""The tracker that writes a Weights & Biases run for every run.

W&B is used only in this file, in `sender.py`, which uploads what is written here, and in
`report/exports/dashboards.py`, which builds W&B's pages (its verb checks if the library for that
exists).
"""

from __future__ import annotations

import hashlib
import io
import netrc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from transfergrid.records.component import Part
from transfergrid.records.tracking import sent
from transfergrid.records.tracking.outbox import FOLDER, Outbox
from transfergrid.records.tracking.tracker import Exhibit, RunCard

Mode = Literal["auto", "online", "offline", "disabled"]
MODES: tuple[str, ...] = get_args(Mode)
TAG, TITLE = 64, 128
"""Largest number of characters that W&B accepts in a tag, and in a name or group."""
SECONDS = 10
"""Timeout for W&B's local service process to open or finish a run; it contacts no server."""
REPORTS = "WANDB_ERROR_REPORTING"
"""Environment variable of W&B's error reports, which would wait for a server at exit."""


@dataclass
class WandbTracker(Part):
    """Writes a Weights & Biases run for every run.

    Runs are written to files, so that no server can delay them. In online mode they are also noted
    in an `Outbox`, from which another process uploads them while they are written (`sending`). Runs
    that it could not upload are left for the next such process, or for `wandb sync`.

    Args:
        project: the W&B project.
        entity: user or team; W&B's own default if None.
        mode: `online`, `offline`, `disabled`, or `auto`: what `WANDB_MODE` says, else online if
            the user is logged in, else offline.
        folder: folder in which W&B's folder `wandb` is made; None: `WANDB_DIR`, else the folder of
            results.
        system_metrics: sample the machine's load during a run.
        alerts: send an alert (mail or chat, as your W&B settings say) on proven negative transfer.

    Raises:
        BadInputError: the mode is unknown, or another value has the wrong type.
    """

    group: ClassVar[str] = "tracking"

    project: str = "transfergrid"
    entity: str | None = None
    mode: Mode = "auto"
    folder: str | None = None
    system_metrics: bool = False
    alerts: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._run: Any = None
        self._outbox: Outbox | None = None

    @property
    def place(self) -> str | None:
        """The project that runs are sent to, as `entity/project`; None if W&B is disabled."""
        if self._mode() == "disabled":
            return None
        return "/".join(filter(None, (self.entity, self.project)))

    def start(self, card: RunCard) -> None:
        """Open a new W&B run; earlier attempts at the same run are marked as synced.

        Raises:
            ImportError: W&B is not installed.
        """
        mode = self._mode()
        if mode == "disabled":
            return
        self._run = self._open(card)
        _supersede(self._place_of(self._run))
        self._outbox = Outbox(self.kept_in(card.results)) if mode == "online" else None
        if self._outbox is not None:
            self._outbox.put(self._place_of(self._run).name)

    def kept_in(self, results: Path) -> Path:
        """Return the folder in which W&B puts the runs that belong to a folder of results."""
        return Path(self.folder or os.environ.get("WANDB_DIR") or results).absolute() / FOLDER

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log values at a step; values of the same step are joined."""
        if self._run is not None:
            self._run.log(dict(values), step=step)

    def show(self, exhibit: Exhibit) -> None:
        """Log tables and pictures as one row, then send the alert, if alerts are wanted."""
        if self._run is None:
            return
        with silence():
            self._run.log({**_tables(exhibit), **_pictures(exhibit)})
            if exhibit.alert and self.alerts:
                self._run.alert(*exhibit.alert, level="WARN")

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Write the summary and close the run; a failed run gets exit code 1."""
        run, self._run = self._run, None
        if run is None:
            return
        place = self._place_of(run)
        with silence():
            _conclude(run, summary, failed)
        if self._outbox is not None:
            self._outbox.end(place.name)

    def _mode(self) -> str:
        return own_mode() if self.mode == "auto" else self.mode

    def _place_of(self, run: Any) -> Path:
        """Return the folder that W&B made for a run."""
        return Path(run.dir).parent

    def _open(self, card: RunCard) -> Any:
        wandb = imported()
        folder = self.kept_in(card.results).parent
        folder.mkdir(parents=True, exist_ok=True)
        mark, agent = sent.mark(card.results, self.place or ""), card.agent
        with silence():
            return wandb.init(
                project=(agent and agent.project) or self.project,
                entity=(agent and agent.entity) or self.entity,
                mode="offline",
                dir=str(folder),
                id=card.id if agent else f"{card.id}-{mark}",
                name=_shortened(card.name, TITLE),
                group=_shortened(card.group, TITLE) or None,
                job_type=card.job_type,
                tags=[_tag(tag) for tag in dict.fromkeys(card.tags)],
                config=card.config,
                reinit="create_new",  # a run that the caller has open stays as it is
                settings=self._settings(agent.sweep if agent else None),
            )

    def _settings(self, sweep: str | None) -> Any:
        """Return settings that keep W&B quiet and fast, without those that an old version lacks."""
        wandb = imported()
        wanted = {
            **({"sweep_id": sweep} if sweep else {}),
            "silent": True,
            "console": "off",
            "disable_code": True,
            "disable_git": True,
            "save_code": False,
            "x_save_requirements": False,
            "x_disable_meta": True,
            "x_disable_machine_info": True,
            "x_disable_stats": not self.system_metrics,
            "init_timeout": SECONDS,
            "finish_timeout": SECONDS,
            "finish_timeout_raises": True,
            "x_transaction_log_flush_interval": 1.0,  # seconds, the most that a killed cell loses
        }
        known = wandb.Settings.model_fields
        return wandb.Settings(**{key: value for key, value in wanted.items() if key in known})


def _conclude(run: Any, summary: Mapping[str, Any], failed: bool) -> None:
    try:
        run.log({}, commit=True)  # otherwise the last row would overwrite the summary
        run.summary.update(dict(summary))
    finally:
        run.finish(exit_code=int(failed))


def _supersede(run: Path) -> None:
    """Mark earlier attempts at a run as synced; uploaded later, one would overwrite this run."""
    identity = run.name.partition("-run-")[2].partition("-")[2]
    for earlier in run.parent.glob(f"offline-run-*-{identity}/*.wandb"):
        if earlier.parent.name != run.name:
            with suppress(OSError):
                earlier.with_name(f"{earlier.name}.synced").touch()


def imported() -> Any:
    """Import W&B and return it, with its error reports turned off unless the user turned them on.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault(REPORTS, "false")
    import wandb

    return wandb


def _tables(exhibit: Exhibit) -> dict[str, Any]:
    wandb = imported()
    return {
        key: wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        for key, (columns, rows) in exhibit.tables.items()
    }


def _pictures(exhibit: Exhibit) -> dict[str, Any]:
    from PIL import Image

    wandb = imported()
    return {
        key: [wandb.Image(Image.open(io.BytesIO(png)), caption=caption) for caption, png in shown]
        for key, shown in exhibit.pictures.items()
    }


def own_mode() -> str:
    """Return the mode in W&B's settings, or "offline" instead of "online" without a login."""
    with silence():
        settings = imported().setup().settings
    if settings.mode != "online":  # WANDB_MODE, or `wandb offline` in this folder
        return str(settings.mode)
    return "online" if logged_in(settings.base_url) else "offline"


def logged_in(server: str) -> bool:
    """Return whether there are credentials for a W&B server, in the environment or in netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        hosts = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return not hosts.keys().isdisjoint({urlsplit(server).netloc, "api.wandb.ai"})


def _tag(text: str) -> str:
    """Return a text as a tag that W&B accepts; a long text is cut and gets a digest as suffix."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:6]
    return text if len(text) <= TAG else f"{text[: TAG - 7]}#{mark}"


def _shortened(text: str, most: int) -> str:
    """Return a text, shortened in the middle if too long, because groups differ at the end."""
    return text if len(text) <= most else f"{text[: most - 11]}...{text[-8:]}"


@contextmanager
def silence() -> Iterator[None]:
    """Suppress W&B's output to stderr during the block, and undo its exit hooks afterwards.

    W&B prints some messages before it reads its setting `silent`.
    """
    leave, hook = sys.exit, sys.excepthook
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        sys.exit, sys.excepthook = leave, hook
