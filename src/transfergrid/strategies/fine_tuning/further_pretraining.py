"""Learn on from the target's unlabelled texts, then adapt by any other strategy."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from transfergrid.data.inputs import Raw
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import (
    BadInputError,
    Baselines,
    Batch,
    Data,
    Group,
    ImpossibleError,
    Inputs,
    Needs,
    Objective,
    Part,
    Phase,
    Range,
    Schedule,
    Share,
    Sizes,
    Strategy,
    rates,
    teaching,
)
from transfergrid.strategies.fine_tuning.token_prediction import (
    checked_language,
    language_loss,
    language_of,
    read_through,
    token_head,
)

BY = "further_pretraining"


class FurtherPretraining(Strategy):
    """The source learns on from the target's unlabelled texts, then another strategy adapts it.

    Encoders predict hidden tokens (80 % masked, 10 % changed, 10 % as they are, drawn anew at each
    step; special tokens never), decoders the next token. Texts are those of the pool beside the
    validation part. The head is the one that came with the source's weights, if it is among them;
    else the source's own token embeddings, for encoders behind a new dense layer and LayerNorm.
    Nothing of this phase is chosen by validation. What `then` holds on to, such as an anchor or a
    teacher, is what was read; what it adds, such as adapters, takes no part in reading. At a share
    of 0 it is `then`, bit for bit.

    Formula:
        mean over hidden tokens of -log p(token | the others); of decoders, mean over all tokens
        of -log p(token | those before)

    Try it:
        Where texts without labels are many, and unlike those that the source has read. The paper's
        TAPT reads each of them in 100 epochs: 30 steps of 16 texts, the half of `training=text`,
        are far from that.

    Cost:
        Its share of the steps, each with the vocabulary's logits of 15 % of the tokens (of decoders
        all): `then` has so many fewer. The same at prediction as `then`.

    Source:
        Gururangan et al. 2020, Don't Stop Pretraining (arXiv 2004.10964), sections 3 and 4; masks:
        Devlin et al. 2019, BERT (arXiv 1810.04805), section 3.1.

    Args:
        then: the strategy that adapts what comes of it, by its own rates.
        share: of the steps, for the unlabelled texts; 1 where `then` takes no step, as a probe that
            is solved: the other steps would not be taken at all.
        masked: share of the tokens that is predicted, where tokens are hidden.
        lr_factor: of the unlabelled texts' steps.
        schedule: of these, where it is not the shared one.

    Raises:
        BadInputError: `then` needs more than the source's weights and labels, cuts the source as it
            came, or is left no step.
    """

    needs = Needs(unlabelled=True, layers="some")
    baselines = Baselines(exploratory=["then"])
    space = {
        "lr_factor": rates(0.3, small_images=0.3, images=0.3, text=0.0095),
        "share": Range(0.1, 0.9, log=False, default=0.5),
    }
    also_called = (
        "dapt",
        "tapt",
        "mlm",
        "masked_language_modelling",
        "domain_adaptive_pretraining",
        "task_adaptive_pretraining",
    )
    badges = ("formula_exact", "trajectory_exact")

    adapted: Strategy
    reader: Backbone

    def __init__(
        self,
        then: Strategy,
        share: Share = 0.5,
        masked: Part = 0.15,
        lr_factor: float | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(lr_factor=lr_factor, schedule=schedule)
        name = type(then).__name__
        if not replace(then.needs, steps=True).are_plain:
            raise BadInputError(
                "strategy.then must adapt the source's weights by target labels alone, as "
                f"full_finetuning does: {name} needs something else"
            )
        if then.starts_once:
            raise BadInputError(f"strategy.then cannot be {name}: {then.starts_once}")
        self.share, self.masked = share, masked
        self._then = (then,)  # in a tuple: a module once it has a backbone

    def fit_inputs(self, backbone: Backbone, training: Callable[[], Raw]) -> None:
        self._then[0].fit_inputs(backbone, training)

    def build(self, sizes: Sizes) -> None:
        language, (then,) = checked_language(self.backbone, BY), self._then
        if self.task.kind not in then.needs.tasks:
            raise ImpossibleError(f"{type(then).__name__} learns no targets of {self.task.kind}")
        self.scaffold["language"] = token_head(language)
        # No part of the scaffold: its weights are the backbone's, and go by the backbone's names.
        self.reader = same_weights(self.backbone)
        parts = (self.backbone, self.task, self.training_plan, self.block_seed)
        then.attach(*parts, sizes=sizes, fresh=self._fresh)
        self.adapted = then
        if self.share == 1 and any(phase.objectives for phase in then.all_phases()):
            raise BadInputError(f"strategy.share=1 leaves no step to {type(then).__name__}")
        self.backbone, self.head = then.backbone, then.head

    def phases(self) -> list[Phase]:
        own = [phase.counts for phase in self.adapted.all_phases()]
        left = [1 - self.share if counts == "steps" else 1.0 for counts in own]  # no teacher's
        learned = [
            replace(phase, counts=counts, share=phase.share * (share if phase.objectives else 1.0))
            for phase, counts, share in zip(teaching(self.adapted), own, left, strict=True)
        ]
        if not self.share:
            return learned
        read = Objective(self.read, self.readers())
        return [
            Phase("read", [read], self.share, ["unlabelled"], cached=False, judged=False),
            Phase("start again", before=self.again, judged=False),
            *learned,
        ]

    def again(self, data: Data) -> None:
        """Let `then` begin with what came of the source."""
        self.adapted.start_again()

    def readers(self) -> list[Group]:
        """Return who learns from unlabelled texts: the blocks that are read through, and a head."""
        read = read_through(self.reader)
        return [Group("read", read), Group("tokens", self.scaffold["language"].parameters())]

    def read(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss of tokens that are hidden, or come next."""
        assert batch.unlabelled is not None
        return language_loss(
            language_of(self.reader, BY), self.scaffold["language"], batch.unlabelled, self.masked
        )

    def features(self, inputs: Inputs, recorded: bool = True) -> Tensor:
        return self.adapted.features(inputs, recorded)

    def predict(self, inputs: Inputs) -> Tensor:
        return self.adapted.predict(inputs)

    def tells(self) -> dict[str, Any]:
        return self.adapted.tells()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with self.adapted.in_use():
            yield

    def kept_state(self) -> dict[str, Tensor]:
        """Return what `then` keeps."""
        return self.adapted.kept_state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.adapted.restore(state)
        self.eval()


def same_weights(backbone: Backbone) -> Backbone:
    """Return another backbone of the same weights: nothing that is put into one is in the other."""
    tensors = (*backbone.parameters(), *backbone.buffers())
    return copy.deepcopy(backbone, {id(tensor): tensor for tensor in tensors})
