"""Pretext task of language models: predict masked tokens, or the next one."""

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

    It does with a domain's texts, once for all cells, what `further_pretraining` does with a
    target's texts.

    Source: Devlin et al. 2019, BERT (arXiv 1810.04805), section 3.1.

    Args:
        masked: share of the tokens that is masked and predicted; decoders ignore it.
    """

    def __init__(self, masked: Part = 0.15) -> None:
        super().__init__()
        self.masked = masked

    def make(self) -> None:
        """See `Pretext.make`."""
        self.scaffold["language"] = token_head(checked_language(self.backbone, BY))

    def phases(self) -> list[Phase]:
        """Return one phase; the token head learns, and the blocks that lead to hidden states."""
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
