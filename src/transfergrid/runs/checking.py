"""Whether a cell's parts can be built and joined as they were asked for: no data, no training."""

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
    """Build a cell's strategy, its source's first weights and its student, and throw them away.

    Finds what needs torch to be found: a strategy's impossible value, a model that timm does not
    have, weights that do not fit. A source's own training is left to the cell.

    Returns:
        About how many bytes the cell's weights would take.

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
        assert network is None or network.dim > 0  # its inputs are of a size that it takes
    taught = backbone if strategy.needs.teacher else None
    try:
        head = first_head(cell, strategy.needs, backbone)
        task = task_of_pair(target.task, _pair(cell, strategy.needs, target))
        strategy.attach(trained, task, training, cell.seed, taught=taught, source_head=head)
    except BadInputError as error:  # as of a method that needs layers which the network has not
        parts = filter(None, (cell.names.strategy, cell.names.source))
        raise type(error)(f"{' with '.join(parts)}: {error}") from error
    checked(strategy.all_phases(), cell.names.strategy)
    return kept_bytes(strategy)


def _pair(cell: Cell, needs: Needs, target: Domain) -> Pair | None:
    """Return the pair of a cell by the names of classes alone."""
    domain = known_domain(cell.config["source"], needs)
    if domain is None or not target.classes:
        return None
    return Pair.of(dict.fromkeys(build(domain).classes, 1), dict.fromkeys(target.classes, 1))


def check_values(cell: Cell) -> tuple[Strategy, Training, Domain]:
    """Build the parts of a cell that are no networks, whose libraries take seconds to import.

    Raises:
        BadInputError: one cannot be built as it was asked for.
    """
    strategy: Strategy = build(cell.config["strategy"])
    _check_description(strategy, cell.config["strategy"]["about"])
    training: Training = build(told) if (told := cell.config["training"]) else Training()
    target: Domain = build(cell.config["target"])
    return strategy, training, target


def _check_description(strategy: Strategy, about: Config) -> None:
    """Raise unless the YAML, which plans, and the class, which runs, say the same."""
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
    """Return the source's own head where it is needed; of a source to be trained, one like it.

    Raises:
        BadInputError: its weights came without one.
    """
    if needs.source != "head" or backbone is None:
        return None
    made: Source = build(cell.config["source"])
    return made.head(backbone, _Untrained(backbone.dim), cell.seed)


class _Untrained:
    """Stands for a maker where nothing is to be trained yet: its heads have learned nothing."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def trained(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        raise NotImplementedError("no source is trained before its cell runs")

    def begun(self, source: TrainedSource, seed: int) -> Backbone:
        raise NotImplementedError("no source is trained before its cell runs")

    def trained_head(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        head: Mapping[str, Tensor] = source.domain.task.head(self.dim).state_dict()
        return head
