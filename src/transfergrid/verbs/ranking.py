"""The verb `rank`: rank sources for a target, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from transfergrid.evidence.measured import selecting
from transfergrid.records import trust
from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.metrics import NUMBERS
from transfergrid.runs.planning.plan import Option
from transfergrid.verbs.configs.loading import loading
from transfergrid.verbs.configs.typed_words import readable
from transfergrid.verbs.parser import Parser

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

    from transfergrid.records.ledgers.scores import Kept
    from transfergrid.runs.scores.pairs import Pair
    from transfergrid.verbs.configs.composing import Composer
    from transfergrid.verbs.configs.requests import Request

KEYS = ("target", "source", "labels", "seed", "score", "results", "trainer", "allow", "hydra")
KNN = "knn"
"""The baseline score that is shown beside all others."""
USAGE = (
    "transfergrid rank target=NAME source=A,B,C [labels=5] [seed=0,1] [score=logme,...] "
    "[results=FOLDER] [--format table|json|csv|markdown|latex]\n"
    "       transfergrid rank [--results FOLDER] [--where ...]   what done cells are made of"
)


def command(arguments: Sequence[str]) -> int:
    """Run `transfergrid rank target=... source=a,b,c ...` or `transfergrid rank --results DIR`."""
    chosen = _parser().parse_intermixed_args(arguments)
    with composing(chosen.overrides, chosen.config_dir) as asked:
        results = chosen.results or asked.results
        if asked.names_a_pair and chosen.where:
            raise BadInputError("--where is for done cells: name either them or target and source")
        where = selecting.Where.parse(chosen.where)
        pairs = asked.pairs() if asked.names_a_pair else list(pairs_of(Ledger(results), where))
        scores = asked.scores()
        kept = list(scored(pairs, scores, Ledger(results), asked.machine()))
    if not kept:
        raise BadInputError("nothing to rank")
    from transfergrid.evidence.chosen.ranking import ranked
    from transfergrid.report.planning import ranking_table
    from transfergrid.report.tables.sheet import show

    rows = ranked(kept, [score.name for score in scores], asked.leading)
    show(ranking_table.sheet(rows, asked.leading), chosen.format)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="transfergrid rank",
        usage=USAGE,
        description="Rank sources by transferability scores, before anything is trained on the "
        "target. Sources that are trained here are trained if their weights are missing.",
    )
    parser.add_argument("overrides", nargs="*", help="as for a grid: target, source, labels, seed")
    parser.add_argument("--results", help="the ledger's folder")
    parser.add_argument("--where", default="", help=selecting.HELP)
    parser.add_format()
    parser.add_argument("--config-dir", help="a folder with configs of your own")
    return parser


@dataclass
class Asked:
    """The request after `rank`."""

    request: Request
    composer: Composer
    config: Any
    score_words: list[str]
    names_a_pair: bool

    @property
    def results(self) -> str:
        """The ledger's folder."""
        return str(self.config.results)

    @property
    def leading(self) -> str:
        """The score by which sources are sorted: the first one requested, else k-NN."""
        return next((s.name for s in self._typed_scores()), KNN)

    def machine(self) -> dict[str, Any]:
        """Return the arguments of a `Machine`, as a grid's cells would use."""
        from transfergrid.verbs.asking import settings_of

        return settings_of(self.config).machine

    def scores(self) -> list[Option]:
        """Return k-NN and the requested scores, or all scores."""
        typed = self._typed_scores() or sorted(
            (self.composer.option("score", name) for name in self.composer.names("score")),
            key=_score_order,
        )
        beside = [] if any(s.name == KNN for s in typed) else [self.composer.option("score", KNN)]
        return [*beside, *typed]

    def _typed_scores(self) -> list[Option]:
        from transfergrid.verbs.configs.requests import Axis, override_key, parse, values_of

        asked = {override_key(o): values_of(o) for o in parse(self.score_words)}
        names = asked.pop("score", [])
        if asked and not names:
            raise BadInputError(f"{next(iter(asked))}: say too which score, as in score=knn")
        return self.composer.options("score", Axis(names, asked))

    def pairs(self) -> list[Pair]:
        """Return the requested pairs: every source with every target, label budget and seed.

        Raises:
            BadInputError: a source or target cannot be used, or they do not fit each other.
        """
        from transfergrid.records.identity import read_labels, read_seed
        from transfergrid.runs.scores.pairs import Pair

        axes = self.request.axes
        targets, sources = (
            self.composer.options(kind, axes[kind]) for kind in ("target", "source")
        )
        labels = dict.fromkeys(read_labels(value) for value in self.request.labels)
        seeds = dict.fromkeys(read_seed(value) for value in self.request.seeds)
        for target, source in product(targets, sources):
            check_pair(source, target)
        check_scores(self._typed_scores(), targets)
        return [Pair(s, t, n, seed) for t, n, s, seed in product(targets, labels, sources, seeds)]


def check_scores(scores: Sequence[Option], targets: Sequence[Option]) -> None:
    """Raise `BadInputError` if a requested score is defined on none of the targets."""
    from transfergrid.records.factory import locate
    from transfergrid.runs.planning.kinds import task_of

    kinds = {task_of(target.config) for target in targets}
    for score in scores:
        if kinds == {NUMBERS} and not locate(score.config["_target_"]).is_of_numbers_too():
            raise BadInputError(
                f"{score.name} is of classes, and {targets[0].name} holds numbers: without score= "
                "those are computed that are of numbers too"
            )


def _score_order(score: Option) -> tuple[bool, tuple[str, ...], str]:
    """Return a sort key: k-NN first, then scores that need only labels."""
    from transfergrid.records.factory import locate

    return score.name != KNN, tuple(locate(score.config["_target_"]).needs[1:]), score.name


def check_pair(source: Option, target: Option) -> None:
    """Raise `BadInputError` unless the source can embed the target and both are available."""
    from transfergrid.records.factory import build
    from transfergrid.records.identity import architecture_of
    from transfergrid.runs.planning.fitting import other_vectors
    from transfergrid.runs.planning.kinds import PLURAL, brings_network, modality

    if not brings_network(source.config):
        raise BadInputError(f"{source.name} is data alone, and a forecast embeds by a network")
    takes, holds = modality(architecture_of(source.config)), modality(target.config)
    if takes != holds:
        raise BadInputError(
            f"{source.name} takes {PLURAL[takes]}, and {target.name} holds {PLURAL[holds]}"
        )
    build(target.config).check()
    build(source.config).check()
    if takes == "vector" and (unfit := other_vectors(source, target)) is not None:
        raise BadInputError(unfit)


def pairs_of(ledger: Ledger, where: selecting.Where) -> Iterator[Pair]:
    """Yield each combination of source, target, label budget and seed in the done cells.

    Only selected cells count whose strategy uses the source's weights; configs are taken from their
    records.
    """
    from transfergrid.runs.scores.pairs import Pair

    options: dict[str, Option] = {}
    seen = set()
    for record in where.rows(ledger.records()):
        needs = record.needs
        if record.names.source is None or needs.get("source", "weights") != "weights":
            continue
        trust.check(record.config, f"cell {record.id}")
        source, target = (
            options.setdefault(f"{kind} {digest}", Option(name, record.config[kind]))
            for kind, digest, name in (
                ("source", str(record.parts.source), record.names.source),
                ("target", record.parts.target, record.names.target),
            )
        )
        pair = Pair(source, target, record.labels, record.seed, record.protocol)
        try:
            identity = pair.id
        except BadInputError as error:
            ledger.leave_out(ledger.folder(record.id), error)
            continue
        if identity not in seen:
            seen.add(identity)
            yield pair


def scored(
    pairs: Sequence[Pair], scores: Sequence[Option], ledger: Ledger, machine: dict[str, Any]
) -> Iterator[Kept]:
    """Yield the stored scores of each pair, after computing missing ones."""
    from transfergrid.records.ledgers.scores import read
    from transfergrid.runs.scores.pairs import missing

    obey = None
    for pair in pairs:
        kept = read(ledger, pair.id)
        new = missing(pair, kept, scores)
        if new:
            obey = obey or _computer(ledger, machine)
            kept = obey(pair, new)
        assert kept is not None
        yield kept


def _computer(ledger: Ledger, machine: dict[str, Any]) -> Callable[[Pair, Sequence[Option]], Kept]:
    """Return a function that computes scores; called only if needed, as it imports torch."""
    import torch

    from transfergrid.runs.machine import Machine, quiet
    from transfergrid.runs.scores.computing import compute
    from transfergrid.runs.scores.features import FeaturePasses

    quiet()
    ledger.check_writable()
    used = Machine(**machine)
    torch.set_num_threads(used.threads)
    passes = FeaturePasses(ledger.root, used)
    return lambda pair, scores: compute(pair, scores, ledger, passes)


@contextmanager
def composing(words: Sequence[str], config_dir: str | None = None) -> Iterator[Asked]:
    """Yield the request parsed from overrides as for a grid, without Hydra's sweep.

    Raises:
        BadInputError: an override cannot be parsed, or makes no sense here.
    """
    with loading(words, config_dir) as (typed, loader):
        typed = [readable(*word.split("=", 1)) if "=" in word else word for word in typed]
        yield _asked(typed, loader)


def _asked(words: Sequence[str], loader: ConfigLoader) -> Asked:
    from hydra.types import RunMode

    from transfergrid.verbs.asking import allowed_in, defaults_of
    from transfergrid.verbs.configs.composing import Composer
    from transfergrid.verbs.configs.requests import override_key, parse, read_request

    keys = {
        word: override_key(override) for word, override in zip(words, parse(words), strict=True)
    }
    for key in keys.values():
        check_known("key of rank", _axis(key), KEYS)
    asked = {_axis(key) for key in keys.values()} & {"source", "target"}
    if len(asked) == 1:
        missing = next(iter({"source", "target"} - asked))
        raise BadInputError(f"rank also needs {missing}=..., or neither of source and target")
    score_words = [word for word, key in keys.items() if _axis(key) == "score"]
    rest = [word for word in words if word not in score_words]
    plain = loader.load_configuration("config", [], RunMode.RUN)
    request = read_request(rest, {}, defaults_of(plain), loader)
    config = plain
    if request.settings:
        config = loader.load_configuration("config", request.settings, RunMode.RUN)
    trust.allow(allowed_in(config))
    composer = Composer(loader, "config", request.settings)
    return Asked(request, composer, config, score_words, bool(asked))


def _axis(key: str) -> str:
    """Return the part of a cell, or the setting, that an override's key is about."""
    return key.rpartition("@")[2].partition(".")[0]
