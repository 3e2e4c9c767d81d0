"""Trains sources: each once per content hash; later cells load it."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from transfergrid.data.label_noise import noisy
from transfergrid.data.opened import OpenDomain
from transfergrid.data.regression import ScaledLinear
from transfergrid.data.streams import CellData
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import config_of
from transfergrid.records.files import contents
from transfergrid.records.identity import config_digest
from transfergrid.records.process.telling import TRAINS_SOURCE, tell
from transfergrid.records.seeds import generator, stream_seed
from transfergrid.records.tracking.tracker import RunCard, SafeTracker, Tracker, tracked
from transfergrid.records.training import Training
from transfergrid.runs.allowed import sizes_of, target_data
from transfergrid.runs.checkpoints import Checkpoint
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.curve import Fit
from transfergrid.runs.driver import Driver
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import predictions
from transfergrid.runs.pretext.base import Pretext
from transfergrid.runs.pretext.tasks import pretext_of
from transfergrid.runs.run_cards import Curve, shown
from transfergrid.runs.source_contents import content_of
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import TrainedSource
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.baselines.scratch import Scratch

KEPT_IN_MEMORY = 4
WEIGHTS = "weights.safetensors"
START = "start"
"""Key, in a weight file's metadata, of the hash of the weights that training began with."""


class SourceMaker:
    """Trains sources on their own domains and keeps them under `<results>/sources/<content>/`.

    Two processes that ask for the same source at the same time train it once: the second waits at a
    file lock, which the system releases if its holder dies.

    Args:
        folder: where trained sources are kept.
        machine: what to train on.
        tracker: gets a run for each source that is trained.
        clock: counts the seconds of training under `source`.
        asked: further facts for the tracker: the study and the grid that the source is trained for.
    """

    _memory: ClassVar[OrderedDict[Path, dict[str, Tensor]]] = OrderedDict()

    def __init__(
        self,
        folder: Path,
        machine: Machine,
        tracker: Tracker,
        clock: Stopwatch,
        asked: Mapping[str, str | None] | None = None,
    ) -> None:
        self.folder, self.machine, self.tracker, self.clock = folder, machine, tracker, clock
        self.asked = dict(asked or {})
        self.card: dict[str, Any] = {}
        self.cards: dict[str, dict[str, Any]] = {}

    @property
    def told(self) -> dict[str, Any]:
        """The card of the source that was asked for; of several sources, all cards."""
        return self.card if len(self.cards) < 2 else {"each": list(self.cards.values())}

    def trained(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        """Return the state dict of the source's backbone, trained under this seed.

        It is trained now if it never was.

        Raises:
            BadInputError: the folder cannot be written to.
        """
        return self._found(self._place(source, seed) / WEIGHTS)

    def trained_head(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        """Return the state dict of the head that was trained with the source's backbone.

        Raises:
            BadInputError: the folder cannot be written to.
        """
        return self._found(self._place(source, seed) / "head.safetensors")

    def begun(self, source: TrainedSource, seed: int) -> Backbone:
        """Return the network that the training of this source began with, built again.

        Raises:
            BadInputError: its hash differs from the one in the weight file, or the file has none.
        """
        file = self._place(source, seed) / WEIGHTS
        with safe_open(file, "pt") as kept:
            told = (kept.metadata() or {}).get(START)
        with torch.random.fork_rng(devices=[]):
            start = _first(source, stream_seed(seed, "source"))
        if told != start.fingerprint():
            how = "keep no hash of it" if told is None else "say another hash"
            raise BadInputError(
                f"the start of the source on {source.domain.kind} cannot be made again: its "
                f"weights {how}; delete {file.parent} to have it trained anew"
            )
        return start

    def _place(self, source: TrainedSource, seed: int) -> Path:
        """Return the folder of a source; train it first if it never was."""
        place = self.folder / content_of(source, seed)
        if not (place / "card.json").exists():
            self._train_once(source, seed, place)
        self.card = contents.parsed(contents.read_bytes(place / "card.json"))
        self.cards[place.name] = self.card
        return place

    def _found(self, file: Path) -> Mapping[str, Tensor]:
        if file not in self._memory:
            self._memory[file] = load_file(file)
        self._memory.move_to_end(file)
        while len(self._memory) > KEPT_IN_MEMORY:
            self._memory.popitem(last=False)
        return self._memory[file]

    def _train_once(self, source: TrainedSource, seed: int, place: Path) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInputError(
                f"cannot write trained sources to {self.folder}: {error}"
            ) from error
        with FileLock(f"{place}.lock"), self.clock.measure("source"):
            if not (place / "card.json").exists():
                strategy, card, start = self._train(source, seed, place.name)
                _keep(strategy, card, place, start)
                tell("")  # back to the cell

    def _train(
        self, source: TrainedSource, seed: int, content: str
    ) -> tuple[Strategy, dict[str, Any], str]:
        clock, domain = Stopwatch(), OpenDomain(config_of(source.domain), self.machine.store)
        own_seed = stream_seed(seed, "source")  # independent of the target's seed blocks
        backbone = _first(source, own_seed)
        start = backbone.fingerprint()
        strategy, data = _learner(source, domain, backbone, own_seed)
        assert isinstance(source.training, Training)
        sizes = sizes_of(data, backbone)
        strategy.attach(backbone, data.task, source.training, own_seed, sizes=sizes)
        name = f"{source.architecture.name} on {source.domain.kind}"
        tell(f"{TRAINS_SOURCE} {name}, {source.training.steps} steps")
        left = self._checkpoint(content, strategy, domain, clock)
        tracker = SafeTracker(self.tracker, clock.aside)
        with left.until_done(), tracked(tracker, self._card(source, seed, content)) as summary:
            metric, curve = domain.domain.metric, Curve(tracker)
            fitted = Driver(strategy, data, self.machine, metric, curve, None, left).run()
            if isinstance(strategy, Pretext):
                found = _found(strategy, fitted, len(data.unlabelled or ()))
                summary.update(shown(found["pretext"]))
            else:
                found = self._tested(strategy, domain, data)
                own = found["own_test"]
                summary.update(shown({f"test/{name}": value for name, value in own.items()}))
        card = {
            "content": content,
            "seed": seed,
            "domain": config_of(source.domain),
            "steps": fitted.steps,
            "chosen_step": fitted.chosen_step,
            **found,
            "seconds": clock.total(),
            "continued": left.spent().continued,
            "fingerprint": backbone.fingerprint(),
        }
        return strategy, card, start

    def _tested(self, strategy: Strategy, domain: OpenDomain, data: CellData) -> dict[str, Any]:
        """Return a source's scores on its own domain's test part."""
        test = domain.whole("test", strategy.backbone.preprocess)
        labels = torch.from_numpy(test.labels)
        said = predictions(strategy, test, self.machine)
        return {
            "train_examples": len(data.train or ()),
            "own_test": data.task.scores(said, labels),
            "own_test_examples": len(test),
            "chance": _chance(domain, labels),
        }

    def _checkpoint(
        self, content: str, strategy: Strategy, domain: OpenDomain, clock: Stopwatch
    ) -> Checkpoint:
        parts = [*strategy.modules(), strategy.backbone.preprocess, domain.domain]
        return Checkpoint(self.folder.parent, f"source-{content}", parts, self.machine, clock)

    def _card(self, source: TrainedSource, seed: int, content: str) -> RunCard:
        domain, config = source.domain.kind, config_of(source)
        group = f"pretrain {source.architecture.name} {domain} {config_digest(config)[:6]}"
        return RunCard(
            id=f"pretrain-{content}",
            name=f"{group} seed={seed}",
            group=group,
            job_type="pretrain",
            tags=(
                *filter(None, [self.asked.get("study")]),
                source.architecture.name,
                *(one.kind for one in source.domain.each),
            ),
            config={"content": content, "source": config, "seed": seed, **self.asked},
            results=self.folder.parent,
        )


def _learner(
    source: TrainedSource, domain: OpenDomain, backbone: Backbone, own_seed: int
) -> tuple[Strategy, CellData]:
    """Return the strategy that trains a source and its data: with labels, or inputs alone."""
    task = pretext_of(source)
    if task is not None:
        return task, _unlabelled(domain, backbone)
    return _labelled(source, domain, backbone, own_seed)


def _unlabelled(domain: OpenDomain, backbone: Backbone) -> CellData:
    """Return all inputs of a domain's pool, without its labels and its test part."""
    rows = np.arange(len(domain.examples("pool")), dtype=np.int64)
    inputs = domain.view("pool", backbone.preprocess, rows, labels=rows[:0])
    return CellData(domain.task, None, None, unlabelled=inputs)


def _labelled(
    source: TrainedSource, domain: OpenDomain, backbone: Backbone, own_seed: int
) -> tuple[Strategy, CellData]:
    strategy = Scratch(lr_factor=1.0)  # the source's own `training` says its rate
    assert isinstance(source.training, Training)
    drawn = domain.draw("all", own_seed, source.training.judges)
    data = target_data(domain, drawn, strategy.needs, backbone.preprocess)
    assert data.train is not None
    if source.shuffle_labels:
        data.train.labels = generator(own_seed, "shuffle").permutation(data.train.labels)
    share = getattr(source, "label_noise", None) or 0.0
    for part, view in (("train", data.train), ("validation", data.validation)):
        if share and view is not None:
            draws = generator(own_seed, "label noise", part)
            view.labels = noisy(view.labels, share, data.task.outputs, draws)
    if source.shuffle_labels or share == 1.0 or not domain.domain.learnable:
        data.validation = None  # nothing can be learned: its score would choose a step by chance
    return strategy, data


def _found(strategy: Pretext, fitted: Fit, inputs: int) -> dict[str, Any]:
    """Return what the card keeps of a pretext task: its last training loss and what it noted."""
    told = {"loss": float(fitted.curves["train_loss"][-1]), **strategy.tells()}
    return {
        "train_examples": inputs,
        "train_labels": 0,
        "method": strategy.name,
        "pretext": {name: value for name, value in told.items() if math.isfinite(value)},
    }


def _chance(domain: OpenDomain, labels: Tensor) -> float | None:
    """Return the share of the most frequent class; for numbers the score of predicting the mean."""
    if domain.domain.of_numbers:
        return domain.task.floor(labels)[domain.domain.metric]
    return float(labels.bincount().max() / len(labels))


def _first(source: TrainedSource, own_seed: int) -> Backbone:
    """Return the network that a source's training begins with."""
    seed_torch(stream_seed(own_seed, "backbone"))
    return source.initial()


def _keep(strategy: Strategy, card: dict[str, Any], place: Path, start: str) -> None:
    """Write the weights first and the card last: a source exists once its card does.

    The weight files hold the hash of the weights that training began with.
    """
    place.mkdir(exist_ok=True)
    head = strategy.head.folded() if isinstance(strategy.head, ScaledLinear) else strategy.head
    parts = {"weights": strategy.backbone, **({"head": head} if head.state_dict() else {})}
    for name, part in parts.items():
        state = {key: value.cpu().contiguous() for key, value in part.state_dict().items()}
        save_file(state, place / f"{name}.safetensors", {START: start})
    draft = place / "card.json.tmp"
    draft.write_text(json.dumps(card, indent=1))
    draft.replace(place / "card.json")
