"""What a strategy does: what it builds, what happens in time, what it predicts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.data.inputs import Inputs, Raw
from transfergrid.data.task import Task
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.arguments import Part, Positive, Share
from transfergrid.records.errors import ImpossibleError, as_line
from transfergrid.records.seeds import stream_seed
from transfergrid.records.training import SCHEDULES, Schedule, Training
from transfergrid.sources.backbone import Backbone, Granularity
from transfergrid.strategies.checked import listed
from transfergrid.strategies.composition.additions import asked
from transfergrid.strategies.composition.offered import ADDITIONS
from transfergrid.strategies.copies import Copied
from transfergrid.strategies.declared import Declared
from transfergrid.strategies.modes import eval_where_still, unrecorded_statistics
from transfergrid.strategies.noting import noting
from transfergrid.strategies.phases import Data, Group, Objective, Other, Phase
from transfergrid.strategies.trials import Judge, Member

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Sizes:
    """How many examples each stream has, so that every buffer can be made in `build`.

    All are 0 where a trained strategy is made again to predict; what is then empty is restored.

    Attributes:
        target: labelled training examples of the target.
        unlabelled: target inputs without labels.
        source: examples of each labelled source domain.
        inputs: width of an example where there is no backbone, as of plain features.
        attributes: numbers that describe a class, where classes are described.
        names: of a matrix, how many rows and columns the target's training entries name.
        all_names: likewise, together with those of the source.
    """

    target: int = 0
    unlabelled: int = 0
    source: tuple[int, ...] = ()
    inputs: int = 0
    attributes: int = 0
    names: tuple[int, int] = (0, 0)
    all_names: tuple[int, int] = (0, 0)


class Strategy(nn.Module, Declared):
    """How a source's knowledge reaches the target.

    A subclass takes its hyperparameters as constructor arguments (plain values, the keys of its
    YAML), states `needs`, `baselines` and `space`, and overrides what differs of `build`, `phases`,
    `loss` and `predict`. It knows no trainer. Whatever outlives a step is a parameter or a buffer
    made in `build`: then a cell can be cut at any step and go on. What only trains is in
    `scaffold`, and is not kept with a trained model.

    Args:
        lr_factor: multiplies the training's learning rate; null takes the strategy's own default of
            `training=default`.
        schedule: replaces the shared schedule where the method brings its own; null keeps it.
        layer_decay: factor of the rate per coarse block towards the input.
        label_smoothing: share of a label's mass that is spread over all classes.
        l2_sp: pull of the backbone's weights towards their start, in the place of weight decay.
        weight_averaging: share of the last phase after which its weights are averaged.
        probe_first: C of the logistic probe of the source's features that the head begins as.

    Raises:
        BadInputError: there is no such schedule, or the factor is not above 0.
        ImpossibleError: at `attach`, something is asked for beside the method that cannot be.

    Attributes:
        hparams: the constructor's arguments by name; `given` are the names that were passed.
        backbone: the network that learns from here on; not there where `needs.source` is `none`.
        head: what the task puts on its features.
        task: the target's, which says what is predicted, with which loss.
        source_tasks: of each labelled source domain; its labels are brought to the target's order
            where `needs.classes` is `same`.
        source_head: the source's own head, frozen; there only where `needs.source` is `head`.
        taught: the source's backbone, for a teacher; None unless `needs.teacher`.
        each_source: in `build`, the network of each source; none unless `needs.each`, and none
            where a cell is only checked, or is made again to predict.
        scaffold: modules and buffers that `predict` does not use.
        training_plan: what all arms share.
        block_seed: of everything that is drawn at random.
        cut: leading blocks of the backbone that inputs have been through; set by the driver alone.
    """

    hparams: dict[str, Any]
    given: frozenset[str]
    backbone: Backbone
    head: nn.Module
    task: Task
    source_tasks: tuple[Task, ...]
    source_head: nn.Module
    taught: Backbone | None
    each_source: tuple[Backbone, ...]
    scaffold: nn.ModuleDict
    training_plan: Training
    block_seed: int
    cut: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the constructor note its arguments, from which an equal strategy can be made."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            above = super(cls, cls).__init__
            cls.__init__ = noting(cls.__init__, above)  # type: ignore[method-assign]

    @noting
    def __init__(
        self,
        lr_factor: Positive | None = None,
        schedule: Schedule | None = None,
        layer_decay: Positive | None = None,
        label_smoothing: Part | None = None,
        l2_sp: Positive | None = None,
        weight_averaging: Share | None = None,
        probe_first: Positive | None = None,
    ) -> None:
        super().__init__()
        if lr_factor is None:
            told = self.space.get("lr_factor")
            lr_factor = told.default if told and told.default is not None else 1.0
        self.lr_factor, self.schedule = lr_factor, schedule
        self.hparams |= {
            k: getattr(self, k) for k in ("lr_factor", "schedule") if k in self.hparams
        }

    # What a subclass overrides -----------------------------------------------------------------

    def fit_inputs(self, backbone: Backbone, training: Callable[[], Raw]) -> None:
        """Change how a backbone's inputs are made, before any example is prepared.

        Args:
            backbone: the one that is to learn; changed in place.
            training: gives the labelled training examples as they are read, without their labels.
        """

    def build(self, sizes: Sizes) -> None:
        """Make further modules and buffers; backbone, head and tasks are there."""

    def phases(self) -> Sequence[Phase]:
        """Return what happens, in order. The default is one phase of `loss`, all weights learning.

        It is asked more than once and answers alike each time.
        """
        return [Phase("train", [Objective(self.loss, self.everything())])]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the scalar that a step minimises; `progress` runs from 0 to 1 in its phase."""
        seen = batch.labelled()
        return self.task.loss(self.predict(seen.inputs), seen.labels)

    def predict(self, inputs: Inputs) -> Tensor:
        """Return what the task decodes, (batch, outputs): logits, or values."""
        outputs: Tensor = self.head(self.features(inputs))
        return outputs

    def inherited(self) -> Sequence[nn.Parameter]:
        """Return the backbone's parameters that the source gave: all that `build` made no other."""
        return tuple(self.backbone.parameters())

    def represent(self, inputs: Inputs) -> Tensor:
        """Return what `features` are of inputs that no block has seen, (batch, width).

        Who overrides it names it in `representation`, and leaves the whole backbone as it is.
        """
        return self.backbone.embed(inputs)

    @property
    def representation(self) -> str:
        """What `represent` gives, all that it depends on; empty for the backbone's embeddings."""
        return ""

    def start_again(self) -> None:
        """Take anew what `build` took of the backbone, whose weights have changed since.

        It comes before the first phase. Copies by `copied` and additions are cared for; who keeps
        something else of the weights overrides it, or says in `starts_once` why it cannot.
        """
        for made in self._noted_copies:
            made.renew()
        for addition, _ in asked(self, ADDITIONS):
            addition.start_again(self)

    @property
    def starts_once(self) -> str:
        """Why it cannot start again; empty where it can."""
        return ""

    def tells(self) -> dict[str, Any]:
        """Return what it found, once it is trained, for its record's `told`.

        Plain numbers by name, or lists and dicts of such; most methods have nothing to tell.
        """
        return {}

    def other_tasks(self) -> Sequence[Other]:
        """Return what it says of the tasks of its source domains, once it is trained.

        They are scored on those domains' own test parts, for its record; most methods keep no head
        of the source. The labels are those of `source_tasks`.
        """
        return []

    def blend(self, members: Sequence[Member], judge: Judge, data: Data) -> Sequence[int]:
        """Become what is made of a cell's trials; return the numbers of those that are in it.

        It is asked of strategies that say so (`needs.trials`), attached anew with the best trial's
        setting, in eval mode and without gradients.

        Args:
            members: the trials that came to their end, one at least, in their order.
            judge: scores the validation part by the strategy as it stands.
            data: the training part of the target, as before a phase.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs a cell's trials and does not say what it makes of them: "
            "override blend"
        )

    # What it may use ---------------------------------------------------------------------------

    def features(self, inputs: Inputs, recorded: bool = True) -> Tensor:
        """Embed inputs, (batch, dim), from wherever the driver left them.

        Args:
            inputs: of the backbone.
            recorded: whether BatchNorm's running statistics take note of them. For inputs that the
                baseline does not see it must not.
        """
        with nullcontext() if recorded else unrecorded_statistics(self.backbone):
            return self._suffix()(inputs) if self.cut else self.represent(inputs)

    def text_features(self, inputs: Inputs) -> Tensor:
        """Embed texts, (batch, dim), into the space of `features`: by what embeds texts there.

        Raises:
            ImpossibleError: the backbone embeds none.
        """
        words = self.backbone.words()
        if words is None:
            raise ImpossibleError(f"{self.backbone.title} embeds no texts")
        return words.embed(inputs)

    def _suffix(self) -> Callable[[Any], Tensor]:
        held: tuple[int, Callable[[Any], Tensor]] | None = self.__dict__.get("_behind")
        if held is None or held[0] != self.cut:
            all_of_it = self.cut == len(self.backbone.blocks("fine"))
            held = (self.cut, itemgetter(0) if all_of_it else self.backbone.suffix(self.cut))
            object.__setattr__(
                self, "_behind", held
            )  # not a module of its own: its weights are ours
        return held[1]

    def head_group(self, factor: float = 1.0) -> Group:
        """Return the head alone."""
        return Group("head", tuple(self.head.parameters()), factor)

    def backbone_group(self, factor: float = 1.0) -> Group:
        """Return the whole backbone at one rate."""
        return Group("backbone", tuple(self.backbone.parameters()), factor)

    def everything(self) -> list[Group]:
        """Return head and backbone at one rate."""
        return [self.head_group(), self.backbone_group()]

    def block_groups(
        self, first: int = 0, decay: float = 1.0, granularity: Granularity = "fine"
    ) -> list[Group]:
        """Return the backbone's blocks from `first` on, their rates falling towards the input.

        Args:
            first: number of the first block, from 0 at the input.
            decay: factor per block; the one next to the head has it once.
            granularity: `coarse` blocks (stages) or `fine` ones (layers).
        """
        named = dict(self.backbone.named_parameters())
        blocks = self.backbone.blocks(granularity)
        return [
            Group(b.name, tuple(named[n] for n in b.parameters), decay ** (len(blocks) - i))
            for i, b in enumerate(blocks)
            if i >= first
        ]

    @property
    def shared_schedule(self) -> Callable[[float], float]:
        """The schedule of this run: a multiple of the learning rate by progress from 0 to 1."""
        return SCHEDULES[self.schedule or self.training_plan.schedule]

    def fresh(self, drawn: str) -> Backbone:
        """Return another network of the source's architecture with random weights, in `build`.

        They depend on the seed block and on the name of what is `drawn` alone; `backbone` gives
        those that `scratch` begins with. Where a trained strategy is made again to predict they
        mean nothing, for they are to be restored.
        """
        return self._fresh(drawn) if self._fresh is not None else copy.deepcopy(self.backbone)

    def copied(self, module: Module) -> Module:
        """Return a frozen copy of a module as it stands, in `build`: an anchor, a start.

        `start_again` takes it anew.
        """
        made = copy.deepcopy(module).requires_grad_(False)
        self._noted_copies.append(Copied.of(made, module))
        return made

    # What is the same for all ------------------------------------------------------------------

    def attach(
        self,
        backbone: Backbone | None,
        task: Task,
        training: Training,
        seed: int,
        *,
        sizes: Sizes | None = None,
        source_tasks: Sequence[Task] = (),
        source_head: nn.Module | None = None,
        taught: Backbone | None = None,
        each: Sequence[Backbone] = (),
        fresh: Callable[[str], Backbone] | None = None,
    ) -> None:
        """Give the strategy its parts; a new head depends on seed, width and task alone.

        The backbone is None where `needs.source` is `none`; there is no head then.
        """
        self.task, self.source_tasks = task, tuple(source_tasks)
        self.training_plan, self.block_seed = training, seed
        self.scaffold = nn.ModuleDict()
        object.__setattr__(self, "taught", taught)  # a teacher's own: no module of the student
        object.__setattr__(self, "each_source", tuple(each))  # nor are these
        self._fresh = fresh
        self._noted_copies: list[Copied] = []
        with torch.random.fork_rng(devices=[]):
            seed_torch(stream_seed(seed, "head"))
            if backbone is not None:
                self.backbone, self.head = backbone, task.head(backbone.dim)
            if source_head is not None:
                self.source_head = source_head.requires_grad_(False)
            self.build(sizes or Sizes())
            object.__setattr__(self, "each_source", ())  # what is made of them is in the state
            for addition, value in asked(self, ADDITIONS):
                addition.prepare(self, value)
        phases = listed(self.all_phases(), type(self).__name__)
        self.learn_only([group for phase in phases for group in phase.learning()])

    def all_phases(self) -> list[Phase]:
        """Return what happens, in order, with what was asked for beside the method."""
        phases = self.phases()
        for addition, value in asked(self, ADDITIONS):
            phases = addition.phases(self, value, listed(phases, type(self).__name__))
        return phases  # type: ignore[return-value]  # whoever runs them checks

    def learn_only(self, groups: Sequence[Group]) -> None:
        """Freeze all parameters that are in none of these groups."""
        learning = {id(p) for group in groups for p in group.parameters}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        self.train(self.training)

    @override
    def train(self, mode: bool = True) -> Self:
        """Set the mode; parts in which nothing learns stay in eval mode."""
        super().train(mode)
        if mode:
            eval_where_still(self)
        return self

    @override
    def forward(self, inputs: Inputs) -> Tensor:
        return self.predict(inputs)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Be while inside what a model made of `kept_state` is: its predictions cost that much."""
        yield

    def parameters_in_use(self) -> list[nn.Parameter]:
        """Return the parameters that are there while it is `in_use`."""
        return list(self.parameters())

    def kept_state(self) -> dict[str, Tensor]:
        """Return what is kept of a trained strategy: its state dict, less the scaffold."""
        own = self.state_dict()
        return {name: value for name, value in own.items() if not name.startswith("scaffold.")}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `kept_state` of an equal strategy that was attached.

        Raises:
            ValueError: it is of another strategy.
        """
        try:
            named = dict(self.named_parameters(remove_duplicate=False))  # some have two names
            for name in state.keys() - named.keys():
                path, _, buffer = name.rpartition(".")  # its size may be that of a stream
                self.get_submodule(path).register_buffer(buffer, state[name].clone())
            for name, parameter in named.items():
                if not parameter.numel() and name in state:  # likewise
                    parameter.data = state[name].clone()
            self.load_state_dict(dict(state), strict=False)
        except (AttributeError, KeyError, RuntimeError) as error:
            raise ValueError(as_line(error)) from error
        lacking = sorted(self.kept_state().keys() - state.keys())
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking[:3])}")
        self.eval()
