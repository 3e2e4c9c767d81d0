"""Tokens that are hidden, or come next: how language models learn."""

from __future__ import annotations

from torch import Tensor

from transfergrid.records.arguments import Part
from transfergrid.runs.pretext.base import Pretext
from transfergrid.strategies import Batch, Group, Objective, Phase
from transfergrid.strategies.fine_tuning.token_prediction import (
    checked_language,
    language_loss,
    language_of,
    read_through,
    token_head,
)

BY = "source.method=mlm"


class Mlm(Pretext):
    """Masked tokens, drawn anew at each step; of decoders the next one. The head is dropped.

    The same as what `further_pretraining` does with a target's texts, on a domain's, once for all
    cells.

    Source: Devlin et al. 2019, BERT (arXiv 1810.04805), section 3.1.

    Args:
        masked: share of the tokens that is predicted, where tokens are hidden.
    """

    def __init__(self, masked: Part = 0.15) -> None:
        super().__init__()
        self.masked = masked

    def make(self) -> None:
        """See `Pretext.make`."""
        self.scaffold["language"] = token_head(checked_language(self.backbone, BY))

    def phases(self) -> list[Phase]:
        """Return the phase, of the blocks that hidden states come through."""
        learns = [
            Group("read", read_through(self.backbone)),
            Group("tokens", self.scaffold["language"].parameters()),
        ]
        steps = [Objective(self.loss, learns)]
        return [Phase(self.name, steps, reads=[self.reads], cached=False, judged=False)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """See `Pretext.loss`."""
        assert batch.unlabelled is not None
        head = self.scaffold["language"]
        return language_loss(language_of(self.backbone, BY), head, batch.unlabelled, self.masked)
