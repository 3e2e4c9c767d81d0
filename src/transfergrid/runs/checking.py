"""Checks that a cell's parts can be built and joined as asked for, without data or training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from transfergrid.data.domain import Domain
from transfergrid.data.paired import task_of_pair
from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import Config, build
from transfergrid.records.identity import architecture_of, known_domain
from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.pairs import Pair
from transfergrid.records.training import Training
from transfergrid.runs.models import kept_bytes
from transfergrid.runs.starting import check_same_kind
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.source import Architecture, Source, TrainedSource
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.checked import checked


def check_parts(cell: Cell) -> int:
    """Build a cell's strategy, its source's first weights and its student, and discard them.

    This finds mistakes that need torch to be found: an impossible value of a strategy, a model that
    timm does not have, weights that do not fit. A source's own training is left to the cell.

    Returns:
        About how many bytes the cell's weights would take if they were kept.

    Raises:
        BadInputError: a part cannot be built as it was asked for.
        ImpossibleError: the strategy cannot be used with this source.
    """
    strategy, training, target = check_values(cell)
    backbone = _first_weights(cell, strategy)
    student: Architecture | None = strategy.hparams.get("student")
    trained = student.build() if student is not None else backbone
    if strategy.needs.teacher and trained is not None and backbone is not None:
        check_same_kind(backbone, trained)
    for network in (backbone, trained):
        assert network is None or network.dim > 0  # runs it once: its inputs have a size it takes
    taught = backbone if strategy.needs.teacher else None
    try:
        head = first_head(cell, strategy.needs, backbone)
        task = task_of_pair(target.task, _pair(cell, strategy.needs, target))
        strategy.attach(trained, task, training, cell.seed, taught=taught, source_head=head)
    except BadInputError as error:  # a method may need layers that the network does not have
        parts = filter(None, (cell.names.strategy, cell.names.source))
        raise type(error)(f"{' with '.join(parts)}: {error}") from error
    checked(strategy.all_phases(), cell.names.strategy)
    return kept_bytes(strategy)


def _pair(cell: Cell, needs: Needs, target: Domain) -> Pair | None:
    """Return the pair of a cell's domains, known by the names of classes alone."""
    domain = known_domain(cell.config["source"], needs)
    if domain is None or not target.classes:
        return None
    return Pair.of(dict.fromkeys(build(domain).classes, 1), dict.fromkeys(target.classes, 1))


def check_values(cell: Cell) -> tuple[Strategy, Training, Domain]:
    """Build the parts of a cell that are not networks: networks' libraries import for seconds.

    Raises:
        BadInputError: one cannot be built as it was asked for.
    """
    strategy: Strategy = build(cell.config["strategy"])
    _check_description(strategy, cell.config["strategy"]["about"])
    training: Training = build(told) if (told := cell.config["training"]) else Training()
    target: Domain = build(cell.config["target"])
    return strategy, training, target


def _check_description(strategy: Strategy, about: Config) -> None:
    """Raise unless the strategy's YAML, which planning reads, and its class say the same."""
    told = (Needs.read(about["needs"]), Baselines.read(about["baselines"]), about["version"])
    if told != (strategy.needs, strategy.baselines, strategy.version):
        raise BadInputError(
            f"{type(strategy).__name__} and its YAML differ in needs, baselines or version: "
            "transfergrid.testing.check_strategy shows where"
        )


def _first_weights(cell: Cell, strategy: Strategy) -> Backbone | None:
    need, source = strategy.needs.source, cell.config["source"]
    if not strategy.needs.has_network or source is None:
        return None
    if need == "architecture":
        architecture: Architecture = build(architecture_of(source))
        return architecture.build()
    made: Source = build(source)
    return made.initial()


def first_head(cell: Cell, needs: Needs, backbone: Backbone | None) -> nn.Module | None:
    """Return the source's own head if it is needed; an untrained one for a source to be trained.

    Raises:
        BadInputError: the source's weights have no head.
    """
    if needs.source != "head" or backbone is None:
        return None
    made: Source = build(cell.config["source"])
    return made.head(backbone, _Untrained(backbone.dim), cell.seed)


class _Untrained:
    """Stands in for a source maker when nothing is to be trained yet: its heads are untrained."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def trained(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        raise NotImplementedError("no source is trained before its cell runs")

    def begun(self, source: TrainedSource, seed: int) -> Backbone:
        raise NotImplementedError("no source is trained before its cell runs")

    def trained_head(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        head: Mapping[str, Tensor] = source.domain.task.head(self.dim).state_dict()
        return head
