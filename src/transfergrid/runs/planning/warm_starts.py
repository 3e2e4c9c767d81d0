"""Warm starts of searches: settings that validated best on other targets, from the ledger.

The first trials of a search are part of a cell's identity, so they are chosen once and written to a
file: the same command reuses them, however the ledger has grown meanwhile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transfergrid.records.cell import Cell, Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config
from transfergrid.records.files.fingerprints import fingerprint, replace_text
from transfergrid.records.identity import canonical, digest
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Record
from transfergrid.records.space import Range
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.planning.tuned import kind_of

FOLDER = "warm_starts"
"""Folder of the results with the chosen warm starts. Remove it to have them chosen anew."""
SHARE = 2
"""At most one of this many trials is a warm start; the rest is searched as usual."""
JUDGED = ("metric", "sampling", "part_of", "only", "duplicates", "about")
"""Keys of a domain that say how its examples are used, not which examples they are."""

First = dict[str, Any]
"""`values` of a trial, with the `cell` and the `target` that they were chosen on."""


def data_of(target: Config) -> frozenset[str]:
    """Return digests of the data of a domain, whatever its split, metric or sampling.

    Data in files are identified by the files' contents, other data by their config. Two targets
    that share a digest do not count as other targets to each other.

    Raises:
        BadInputError: a file is missing.
    """
    inner = target.get("domain")
    if isinstance(inner, Mapping):
        return data_of(dict(inner))
    if isinstance(parts := target.get("parts"), list):
        return frozenset().union(*(data_of(part) for part in parts))
    paths = (target.get("about") or {}).get("paths") or ()
    files = [target[key] for key in paths if target.get(key) is not None]
    if files:
        return frozenset(digest(fingerprint(file)) for file in files)
    return frozenset({digest(canonical({k: v for k, v in target.items() if k not in JUDGED}))})


def strategy_of(config: Config, searched: Iterable[str]) -> str:
    """Return a digest of a strategy's config without the arguments that are searched."""
    return digest(canonical({k: v for k, v in config.items() if k not in {*searched}}))


@dataclass(frozen=True)
class Chosen:
    """A setting that a done cell chose by its validation part."""

    cell: str
    target: str
    data: frozenset[str]
    labels: Labels
    strategy: str
    kind: str
    values: Mapping[str, float]
    score: float
    """The signed validation score: higher is better."""

    @classmethod
    def of(cls, record: Record) -> Chosen | None:
        """Return the setting that a record chose; None if no label validated or it is not known."""
        tuning = record.tuning
        if tuning is None or tuning.chosen is None or record.labels == 0:
            return None
        trial = tuning.trials[tuning.chosen]
        if trial.score is None:
            return None
        try:
            data = data_of(record.config["target"])
        except (BadInputError, OSError, KeyError):
            return None  # its data cannot be identified
        return cls(
            record.id,
            record.names.target,
            data,
            record.labels,
            strategy_of(record.config["strategy"], trial.values),
            kind_of(record.config.get("training")),
            trial.values,
            trial.score if record.metric.higher_is_better else -trial.score,
        )

    def far_from(self, labels: Labels) -> float:
        """Return the distance of its label budget from another one, in doublings."""
        return abs(_doublings(self.labels) - _doublings(labels))

    def fits(self, space: Mapping[str, Any]) -> bool:
        """Return whether it is a setting of this space: the same arguments, inside the ranges."""
        return self.values.keys() == space.keys() and all(
            told["low"] <= self.values[name] <= told["high"] for name, told in space.items()
        )


def _doublings(labels: Labels) -> float:
    return 40.0 if labels == "all" else math.log2(labels + 1)


@dataclass
class WarmStarts:
    """Chooses the warm starts of one command's searches.

    Args:
        ledger: of done cells.
        targets: all targets that the command asks for; none of them counts as an other target.
        compared: all strategies that it compares, each with the search that it would make.
    """

    ledger: Ledger
    targets: Sequence[Option]
    compared: Sequence[tuple[Option, Option]]
    _chosen: list[Chosen] | None = None
    _begun: dict[tuple[Any, ...], Option] = field(default_factory=dict)
    _settled: dict[str, dict[str, list[First]]] = field(default_factory=dict)

    def begun(
        self, search: Option, strategy: Option, target: Option, training: Option, labels: Labels
    ) -> Option:
        """Return a search whose first trials are the best settings on other targets.

        If there are none it is the plain search, and the cell has the identity of the plain cell.
        """
        key = (search, strategy, target, training, labels)
        if key not in self._begun:
            first = self._first(search, strategy, target, kind_of(training.config), labels)
            told = {**search.config, "warm_start": "ledger" if first else None}
            config = {**told, "first": first or None}
            self._begun[key] = replace(search, config=config)
        return self._begun[key]

    def remember(self) -> None:
        """Write the chosen warm starts, so that the same command reuses them."""
        for name, told in self._settled.items():
            if any(told.values()):
                file = self.ledger.root / FOLDER / f"{name}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                replace_text(file, json.dumps(told, indent=1) + "\n")

    def _first(
        self, search: Option, strategy: Option, target: Option, kind: str, labels: Labels
    ) -> list[First]:
        names = [strategy_of(o.config, s.config["space"]) for o, s in self.compared]
        trials = int(search.config["trials"])
        beside = sorted(one.digest for one in self.targets)
        place = digest([*sorted(names), target.digest, *beside, str(labels), kind, trials])
        own = strategy_of(strategy.config, search.config["space"])
        settled = self._settled.setdefault(place, self._remembered(place))
        if own not in settled:
            settled[own] = self._found(search, own, kind, labels)[: trials // SHARE]
        return settled[own]

    def _remembered(self, place: str) -> dict[str, list[First]]:
        file = self.ledger.root / FOLDER / f"{place}.json"
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BadInputError(f"{file} cannot be read: {error}") from None
        if not isinstance(told, dict):
            raise BadInputError(f"{file} does not say what searches begin with: remove it")
        return told

    def _found(self, search: Option, own: str, kind: str, labels: Labels) -> list[First]:
        """Return one setting for each other target on which every compared strategy was tuned."""
        theirs = (
            self._best(
                strategy_of(option.config, own_search.config["space"]), own_search, kind, labels
            )
            for option, own_search in self.compared
        )
        shared = [{one.data for one in best} for best in theirs]
        own_best = self._best(own, search, kind, labels)
        best = [one for one in own_best if all(one.data in told for told in shared)]
        whole = {n for n, told in search.config["space"].items() if Range(**told).is_whole}
        return [
            {
                "values": {n: int(v) if n in whole else v for n, v in one.values.items()},
                "cell": one.cell,
                "target": one.target,
            }
            for one in best
        ]

    def _best(self, strategy: str, search: Option, kind: str, labels: Labels) -> list[Chosen]:
        """Return each other target's best validated setting, at the nearest label budget."""
        fits = [
            one
            for one in self._known()
            if (one.strategy, one.kind) == (strategy, kind) and one.fits(search.config["space"])
        ]
        found: dict[frozenset[str], Chosen] = {}
        for one in sorted(fits, key=lambda o: (o.far_from(labels), -o.score, o.cell)):
            found.setdefault(one.data, one)
        return sorted(found.values(), key=lambda o: (o.far_from(labels), o.target, o.cell))

    def _known(self) -> list[Chosen]:
        if self._chosen is None:
            mine = frozenset().union(*(data_of(target.config) for target in self.targets))
            rows = self.ledger.columns(("id", "tuning")) if self.ledger.exists() else []
            records = (self.ledger.find(str(name)) for name, tuning in rows if tuning is not None)
            told = (Chosen.of(record) for record in records if record is not None)
            self._chosen = [one for one in told if one is not None and not one.data & mine]
        return self._chosen


def lines(cells: Iterable[Cell], tunings: Iterable[Option | None]) -> list[str]:
    """Return lines on the warm starts: one for each target and set of first trials."""
    asked = {tuning.config.get("warm_start") for tuning in tunings if tuning}
    if "ledger" not in asked:
        return list(_without_defaults(cells)) if "defaults" in asked else []
    found: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        tuning = cell.config.get("tuning")
        if not tuning:
            continue
        first = [one for one in tuning.get("first") or () if "target" in one]
        where = ", ".join(str(one["target"]) for one in first)
        told = f"{len(first)} of {tuning['trials']} trials from {where}" if first else ""
        found.setdefault((cell.names.target, told), {})[cell.names.strategy] = None
    return [
        f"warm start on {target}: {', '.join(names)}: "
        + (told or "nothing, for not all that is compared was tuned on one same other target")
        for (target, told), names in found.items()
    ]


def _without_defaults(cells: Iterable[Cell]) -> Iterator[str]:
    """Yield a line on strategies whose defaults lie outside the searched space."""
    searches = ((cell.names.strategy, cell.config.get("tuning")) for cell in cells)
    names = sorted({name for name, told in searches if told and not told.get("first")})
    if names:
        yield f"no warm start of {', '.join(names)}: a default lies outside of what is searched"
