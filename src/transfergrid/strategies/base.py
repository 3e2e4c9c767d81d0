"""The base class of all strategies: what one builds, in which phases it trains, how it predicts."""

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
    """How many examples each stream has, so that `build` can allocate every buffer.

    All sizes are 0 where a trained strategy is rebuilt to predict. Buffers that are empty then get
    their shapes and values from `restore`.

    Attributes:
        target: number of labelled training examples of the target.
        unlabelled: number of target inputs without labels.
        source: number of examples of each labelled source domain.
        inputs: width of an input where there is no backbone, as with plain features.
        attributes: length of a class description, where classes are described.
        names: in matrix completion, how many rows and columns the target's training entries name.
        all_names: the same, for the entries of target and source together.
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
    YAML). It declares `needs`, `baselines` and `space`, and overrides `build`, `phases`, `loss` and
    `predict` where its method differs from the default. It knows nothing of the trainer. All state
    that outlives a step must be a parameter or a buffer made in `build`, so that a cell can be
    interrupted at any step and resumed. What only training uses belongs in `scaffold`, which is
    not saved with a trained model.

    Args:
        lr_factor: multiplies the training's learning rate; null takes the default that the
            strategy's `space` gives for `training=default`, or 1.
        schedule: replaces the shared schedule where the method brings its own; null keeps it.
        layer_decay: factor on the learning rate per coarse block, from the head towards the input.
        label_smoothing: share of a label's mass that is spread over all classes.
        l2_sp: strength of the pull of the backbone's weights towards their initial values, which
            replaces their weight decay.
        weight_averaging: share of the last phase after which its weights are averaged.
        probe_first: C of the logistic probe on the source's features from which the head starts.

    Raises:
        BadInputError: there is no such schedule, or the factor is not above 0.
        ImpossibleError: at `attach`, an addition was asked for that this method cannot take.

    Attributes:
        hparams: the constructor's arguments by name; `given` holds the names that were passed.
        backbone: the network that learns; absent where `needs.source` is `none`.
        head: the task's output layer on the backbone's features.
        task: the target's task: what is predicted, and the loss.
        source_tasks: the task of each labelled source domain. Its labels are in the target's class
            order where `needs.classes` is `same`.
        source_head: the source's own head, frozen; present only where `needs.source` is `head`.
        taught: the source's backbone, for a teacher; None unless `needs.teacher`.
        each_source: during `build`, the network of each source. It is empty after `build`, without
            `needs.each`, and where a cell is only checked or a strategy is rebuilt to predict.
        scaffold: modules and buffers that `predict` does not use.
        training_plan: the training settings that all arms share.
        block_seed: the seed of everything that is drawn at random.
        cut: how many leading blocks of the backbone the inputs have already passed through; only
            the driver sets it.
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
        """Wrap the constructor so that it records its arguments, which can make an equal object."""
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
        """Change how raw examples become the backbone's inputs, before any example is prepared.

        Args:
            backbone: the network that is going to learn; changed in place.
            training: returns the raw labelled training examples, without their labels.
        """

    def build(self, sizes: Sizes) -> None:
        """Make further modules and buffers; `backbone`, `head` and the tasks are set already."""

    def phases(self) -> Sequence[Phase]:
        """Return the phases in order; by default one phase in which `loss` trains all weights.

        It is called more than once and must return the same phases each time.
        """
        return [Phase("train", [Objective(self.loss, self.everything())])]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the scalar that a step minimises; `progress` runs from 0 to 1 over the phase."""
        seen = batch.labelled()
        return self.task.loss(self.predict(seen.inputs), seen.labels)

    def predict(self, inputs: Inputs) -> Tensor:
        """Return the outputs that the task decodes, (batch, outputs): logits, or values."""
        outputs: Tensor = self.head(self.features(inputs))
        return outputs

    def inherited(self) -> Sequence[nn.Parameter]:
        """Return the backbone's parameters that come from the source: by default all of them.

        A strategy whose `build` replaces some of them leaves those out.
        """
        return tuple(self.backbone.parameters())

    def represent(self, inputs: Inputs) -> Tensor:
        """Return the features of inputs that have passed through no block yet, (batch, width).

        `features` calls it. A strategy that overrides it also overrides `representation`, and keeps
        the whole backbone frozen.
        """
        return self.backbone.embed(inputs)

    @property
    def representation(self) -> str:
        """Cache key of `represent`: all that its result depends on; empty for the plain embedding.

        Where it is not empty, `represent` does not return the backbone's embeddings.
        """
        return ""

    def start_again(self) -> None:
        """Recompute what `build` derived from the backbone's weights, after these have changed.

        It is called before the first phase. Copies made by `copied` and additions are renewed here.
        A strategy that keeps anything else derived from the weights must override this method, or
        say in `starts_once` why it cannot.
        """
        for made in self._noted_copies:
            made.renew()
        for addition, _ in asked(self, ADDITIONS):
            addition.start_again(self)

    @property
    def starts_once(self) -> str:
        """Why the strategy cannot `start_again`; empty where it can."""
        return ""

    def tells(self) -> dict[str, Any]:
        """Return the trained strategy's findings by name, for the `told` field of its record.

        They are plain numbers, or lists and dicts of numbers. Most methods have none.
        """
        return {}

    def other_tasks(self) -> Sequence[Other]:
        """Return predictors for the tasks of the source domains, once the strategy is trained.

        They are scored on the test parts of those domains, with the labels of `source_tasks`, and
        the scores go into the record. Most methods keep no head for the source and return none.
        """
        return []

    def blend(self, members: Sequence[Member], judge: Judge, data: Data) -> Sequence[int]:
        """Combine a cell's trials into this strategy; return the numbers of the trials used.

        It is called only for strategies with `needs.trials`. The strategy is then freshly attached
        with the best trial's setting, in eval mode, without gradients.

        Args:
            members: the trials that finished, at least one, in their order.
            judge: scores the strategy's current state on the validation part.
            data: the training part of the target, as a phase's `before` gets it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs a cell's trials and does not say what it makes of them: "
            "override blend"
        )

    # What a subclass may use -------------------------------------------------------------------

    def features(self, inputs: Inputs, recorded: bool = True) -> Tensor:
        """Return the features of inputs, (batch, dim), or of hidden states that the driver cached.

        Args:
            inputs: the backbone's inputs, or cached outputs of its first `cut` blocks.
            recorded: whether these inputs update BatchNorm's running statistics. Pass False for
                inputs that the baseline does not see.
        """
        with nullcontext() if recorded else unrecorded_statistics(self.backbone):
            return self._suffix()(inputs) if self.cut else self.represent(inputs)

    def text_features(self, inputs: Inputs) -> Tensor:
        """Embed texts into the space of `features` by the backbone's text encoder, (batch, dim).

        Raises:
            ImpossibleError: the backbone has no text encoder.
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
            )  # not registered as a module: its weights are the backbone's
        return held[1]

    def head_group(self, factor: float = 1.0) -> Group:
        """Return the head's parameters as a group."""
        return Group("head", tuple(self.head.parameters()), factor)

    def backbone_group(self, factor: float = 1.0) -> Group:
        """Return the whole backbone as one group, at one rate."""
        return Group("backbone", tuple(self.backbone.parameters()), factor)

    def everything(self) -> list[Group]:
        """Return the groups of head and backbone, both at the strategy's rate."""
        return [self.head_group(), self.backbone_group()]

    def block_groups(
        self, first: int = 0, decay: float = 1.0, granularity: Granularity = "fine"
    ) -> list[Group]:
        """Return a group per block of the backbone from `first` on; rates fall towards the input.

        Args:
            first: index of the first block; 0 is the block at the input.
            decay: factor per block; the block next to the head is multiplied by it once.
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
        """The schedule of this run: progress from 0 to 1 to a multiple of the learning rate."""
        return SCHEDULES[self.schedule or self.training_plan.schedule]

    def fresh(self, drawn: str) -> Backbone:
        """Return a new network of the source's architecture with random weights, for `build`.

        The weights depend only on the seed block and on the name `drawn`; the name "backbone" gives
        the initial weights of `scratch`. Where a trained strategy is rebuilt to predict, a copy of
        the backbone is returned instead, whose weights will be restored.
        """
        return self._fresh(drawn) if self._fresh is not None else copy.deepcopy(self.backbone)

    def copied(self, module: Module) -> Module:
        """Return a frozen copy of a module's current state, such as an anchor; call it in `build`.

        `start_again` updates the copy.
        """
        made = copy.deepcopy(module).requires_grad_(False)
        self._noted_copies.append(Copied.of(made, module))
        return made

    # What is the same for all strategies -------------------------------------------------------

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
        """Give the strategy its parts, build it, and freeze all that no phase trains.

        The initial weights of a new head depend only on seed, width and task. The backbone is None
        where `needs.source` is `none`; there is no head then.
        """
        self.task, self.source_tasks = task, tuple(source_tasks)
        self.training_plan, self.block_seed = training, seed
        self.scaffold = nn.ModuleDict()
        object.__setattr__(self, "taught", taught)  # not registered as a module of the student
        object.__setattr__(self, "each_source", tuple(each))  # likewise
        self._fresh = fresh
        self._noted_copies: list[Copied] = []
        with torch.random.fork_rng(devices=[]):
            seed_torch(stream_seed(seed, "head"))
            if backbone is not None:
                self.backbone, self.head = backbone, task.head(backbone.dim)
            if source_head is not None:
                self.source_head = source_head.requires_grad_(False)
            self.build(sizes or Sizes())
            object.__setattr__(self, "each_source", ())  # what `build` made of them is in the state
            for addition, value in asked(self, ADDITIONS):
                addition.prepare(self, value)
        phases = listed(self.all_phases(), type(self).__name__)
        self.learn_only([group for phase in phases for group in phase.learning()])

    def all_phases(self) -> list[Phase]:
        """Return the phases in order, as changed by the additions that were asked for."""
        phases = self.phases()
        for addition, value in asked(self, ADDITIONS):
            phases = addition.phases(self, value, listed(phases, type(self).__name__))
        return phases  # type: ignore[return-value]  # the caller that runs them checks them

    def learn_only(self, groups: Sequence[Group]) -> None:
        """Freeze all parameters except those in these groups, which are unfrozen."""
        learning = {id(p) for group in groups for p in group.parameters}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        self.train(self.training)

    @override
    def train(self, mode: bool = True) -> Self:
        """Set train or eval mode; modules in which nothing learns stay in eval mode."""
        super().train(mode)
        if mode:
            eval_where_still(self)
        return self

    @override
    def forward(self, inputs: Inputs) -> Tensor:
        return self.predict(inputs)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Put the strategy, inside the context, into the form in which its saved model predicts.

        What a prediction costs is measured inside it; parts may be merged there, for example.
        """
        yield

    def parameters_in_use(self) -> list[nn.Parameter]:
        """Return the parameters that exist inside `in_use`."""
        return list(self.parameters())

    def kept_state(self) -> dict[str, Tensor]:
        """Return what is saved of a trained strategy: its state dict without the scaffold."""
        own = self.state_dict()
        return {name: value for name, value in own.items() if not name.startswith("scaffold.")}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Load the `kept_state` of an equal strategy into this attached one, and set eval mode.

        Raises:
            ValueError: the state belongs to another strategy.
        """
        try:
            named = dict(self.named_parameters(remove_duplicate=False))  # shared ones: both names
            for name in state.keys() - named.keys():
                path, _, buffer = name.rpartition(".")  # its shape may depend on a stream's size
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
