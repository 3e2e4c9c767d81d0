"""How a source's knowledge reaches the target: a folder a family. Imports what precedes it.

What an author of a strategy needs is to be had from here.
"""

from transfergrid.data.batches import Batch
from transfergrid.data.inputs import Inputs
from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Range, rates
from transfergrid.strategies.base import Sizes, Strategy, teaching
from transfergrid.strategies.phases import Data, Group, Objective, Phase, in_one_run

__all__ = [
    "Baselines",
    "Batch",
    "Data",
    "Group",
    "Inputs",
    "Needs",
    "Objective",
    "Phase",
    "Range",
    "Sizes",
    "Strategy",
    "in_one_run",
    "rates",
    "teaching",
]
