"""Continue pretraining on the target's unlabelled texts, then adapt by any other strategy."""

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

    Encoders predict masked tokens: of those chosen 80 % are masked, 10 % replaced at random and
    10 % left as they are, drawn again at each step; special tokens are never chosen. Decoders
    predict the next token. The texts are those of the pool that are not in the validation part. The
    prediction head is the one that came with the source's weights, if there is one; otherwise it is
    the source's own token embeddings, for encoders after a new dense layer and LayerNorm.
    Validation chooses nothing in this phase. What `then` keeps of the source, such as an anchor or
    a teacher, is the network after this phase; what `then` adds, such as adapters, takes no part in
    it. At a share of 0 this strategy is `then`, bit for bit.

    Formula:
        mean over hidden tokens of -log p(token | the others); of decoders, mean over all tokens
        of -log p(token | those before)

    Try it:
        Where there are many texts without labels, and they are unlike those that the source was
        pretrained on. The paper's TAPT takes 100 epochs over them: 30 steps of 16 texts, half of
        `training=text`, are far from that.

    Cost:
        Its share of the steps, which `then` does without. Each computes the vocabulary's logits for
        15 % of the tokens (decoders: for all). Prediction costs what that of `then` does.

    Source:
        Gururangan et al. 2020, Don't Stop Pretraining (arXiv 2004.10964), sections 3 and 4; masks:
        Devlin et al. 2019, BERT (arXiv 1810.04805), section 3.1.

    Args:
        then: the strategy that adapts the network afterwards, with its own rates.
        share: share of the steps that is spent on the unlabelled texts. Use 1 where `then` takes no
            steps, such as a probe in closed form: the remaining steps would not be taken at all.
        masked: share of the tokens that an encoder predicts.
        lr_factor: rate factor of the steps on unlabelled texts.
        schedule: schedule of these steps; null: the shared one.

    Raises:
        BadInputError: `then` needs more than the source's weights and labels, can only start from
            the source's original weights (`starts_once`), or is left no step.
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
        self._then = (then,)  # in a tuple, so that it is not registered as a submodule yet

    def fit_inputs(self, backbone: Backbone, training: Callable[[], Raw]) -> None:
        self._then[0].fit_inputs(backbone, training)

    def build(self, sizes: Sizes) -> None:
        language, (then,) = checked_language(self.backbone, BY), self._then
        if self.task.kind not in then.needs.tasks:
            raise ImpossibleError(f"{type(then).__name__} learns no targets of {self.task.kind}")
        self.scaffold["language"] = token_head(language)
        # Not in the scaffold: its weights are the backbone's own, saved under the backbone's names.
        self.reader = same_weights(self.backbone)
        parts = (self.backbone, self.task, self.training_plan, self.block_seed)
        then.attach(*parts, sizes=sizes, fresh=self._fresh)
        self.adapted = then
        if self.share == 1 and any(phase.objectives for phase in then.all_phases()):
            raise BadInputError(f"strategy.share=1 leaves no step to {type(then).__name__}")
        self.backbone, self.head = then.backbone, then.head

    def phases(self) -> list[Phase]:
        own = [phase.counts for phase in self.adapted.all_phases()]
        left = [1 - self.share if counts == "steps" else 1.0 for counts in own]  # not a teacher's
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
        """Let `then` start from the further pretrained weights."""
        self.adapted.start_again()

    def readers(self) -> list[Group]:
        """Return the groups that learn from unlabelled texts: blocks and a token head."""
        read = read_through(self.reader)
        return [Group("read", read), Group("tokens", self.scaffold["language"].parameters())]

    def read(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss of the masked tokens, or of the next ones."""
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
        """Return the state that `then` keeps."""
        return self.adapted.kept_state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.adapted.restore(state)
        self.eval()


def same_weights(backbone: Backbone) -> Backbone:
    """Return a copy of a backbone that shares its tensors; modules added to one are not in both."""
    tensors = (*backbone.parameters(), *backbone.buffers())
    return copy.deepcopy(backbone, {id(tensor): tensor for tensor in tensors})
