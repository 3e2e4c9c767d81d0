"""How a source's knowledge reaches a target: one short file a method, a folder a family.

May import: records, data, sources. Never: timm, torchvision, transformers, hydra, omegaconf, wandb.
What an author of a strategy needs is to be had from here.
"""

from transfergrid.data.batches import Batch, StreamName
from transfergrid.data.inputs import Inputs
from transfergrid.data.views import join_inputs, size_of, take
from transfergrid.records.arguments import Count, NotNegative, Part, Positive, Positives, Share
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Range, rates
from transfergrid.records.training import Schedule
from transfergrid.sources.backbone import Granularity, evaluating
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.phases import Data, Dial, Group, Objective, Other, Phase, in_one_run
from transfergrid.strategies.teaching import teaching
from transfergrid.strategies.trials import Judge, Member

__all__ = [
    "BadInputError",
    "Baselines",
    "Batch",
    "Count",
    "Data",
    "Dial",
    "Granularity",
    "Group",
    "ImpossibleError",
    "Inputs",
    "Judge",
    "Member",
    "Needs",
    "NotNegative",
    "Objective",
    "Other",
    "Part",
    "Phase",
    "Positive",
    "Positives",
    "Range",
    "Schedule",
    "Share",
    "Sizes",
    "Strategy",
    "StreamName",
    "evaluating",
    "in_one_run",
    "join_inputs",
    "rates",
    "size_of",
    "take",
    "teaching",
]
