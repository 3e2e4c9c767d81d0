"""Learning from texts without labels: tokens that are hidden, or those that come next."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.backbone import Backbone, Language, evaluating

NONE = -100
"""The label where nothing is predicted."""
HIDDEN, CHANGED = 0.8, 0.9
"""Of the tokens that are predicted 80 % are hidden, 10 % changed and 10 % left as they are."""
SPREAD = 0.02
"""Standard deviation of a new head's weights, as of BERT's."""


def masked(
    tokens: Tensor,
    allowed: Tensor,
    mask: int,
    select: Tensor,
    kind: Tensor,
    others: Tensor,
    share: float,
) -> tuple[Tensor, Tensor]:
    """Return what is read instead of tokens, and the labels, all (batch, length).

    Args:
        tokens: of the texts.
        allowed: which of them may be predicted: not padding, and nothing special.
        mask: the token that stands for a hidden one.
        select: uniform numbers; below `share` a token is predicted.
        kind: uniform numbers that say what becomes of those.
        others: tokens drawn at random, for those that are changed.
        share: of the tokens.
    """
    chosen = (select < share) & allowed
    read = torch.where(chosen & (kind < HIDDEN), mask, tokens)
    read = torch.where(chosen & (kind >= HIDDEN) & (kind < CHANGED), others, read)
    return read, torch.where(chosen, tokens, NONE)


def following(tokens: Tensor, attention: Tensor) -> Tensor:
    """Return the label of each place, the token after it, (batch, length); none before padding."""
    labels = torch.full_like(tokens, NONE)
    labels[:, :-1] = torch.where(attention[:, 1:] == 1, tokens[:, 1:], NONE)
    return labels


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the places that are predicted; 0 where there is none.

    Args:
        logits: (places, tokens).
        labels: (places,), `NONE` where nothing is predicted.
    """
    total = nn.functional.cross_entropy(logits, labels, ignore_index=NONE, reduction="sum")
    return total / (labels != NONE).sum().clamp_min(1)


class MaskedHead(nn.Module):
    """A dense layer, GELU and LayerNorm, then the tokens' embeddings, which it shares.

    Args:
        width: of hidden states.
        tokens: how many there are.
        given: weights of such a head by name, if they fit; else they are new.
    """

    def __init__(self, width: int, tokens: int, given: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(tokens))
        nn.init.normal_(self.dense.weight, std=SPREAD)
        nn.init.zeros_(self.dense.bias)
        shapes = {name: tuple(own.shape) for name, own in self.state_dict().items()}
        if shapes == {name: tuple(own.shape) for name, own in given.items()}:
            self.load_state_dict(dict(given))

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return logits (places, tokens) of hidden states (places, width)."""
        turned = self.norm(nn.functional.gelu(self.dense(hidden)))
        return nn.functional.linear(turned, table, self.bias)


class NextHead(nn.Module):
    """The tokens' embeddings alone, as language models that write have them."""

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return logits (places, tokens) of hidden states (places, width)."""
        return nn.functional.linear(hidden, table)


def language_of(backbone: Backbone, by: str) -> Language:
    """Return what a network has for predicting tokens.

    Args:
        backbone: the network.
        by: what learns so, for whoever has a network of images.

    Raises:
        ImpossibleError: it takes no texts, or no token stands for a hidden one.
    """
    found, title = backbone.language(), backbone.title
    if found is None:
        raise ImpossibleError(f"{by} learns from texts, and {title} takes none")
    if not found.causal and found.mask is None:
        raise ImpossibleError(f"{title} has no token that stands for a hidden one")
    return found


def checked_language(backbone: Backbone, by: str) -> Language:
    """Return `language_of` a network, if its hidden states are as wide as its embeddings.

    Raises:
        ImpossibleError: they are not, or see `language_of`.
    """
    found = language_of(backbone, by)
    with evaluating(backbone), torch.no_grad():
        width = found.hidden(backbone.example(2)).shape[-1]
    if width != found.table.shape[1]:
        raise ImpossibleError(
            f"{backbone.title} has embeddings of another width than its hidden states"
        )
    return found


def token_head(language: Language) -> nn.Module:
    """Return a new head that predicts tokens, or the one that the weights came with."""
    tokens, width = language.table.shape
    return NextHead() if language.causal else MaskedHead(width, tokens, language.head)


def read_through(backbone: Backbone) -> list[nn.Parameter]:
    """Return the parameters of the blocks that hidden states come through."""
    language, named = backbone.language(), dict(backbone.named_parameters())
    assert language is not None, "it was checked"
    blocks = backbone.blocks("fine")[: language.blocks]
    return [named[name] for block in blocks for name in block.parameters]


def language_loss(language: Language, head: nn.Module, inputs: Inputs, share: float) -> Tensor:
    """Return the loss of a batch of texts; what is hidden is drawn anew each time.

    Args:
        language: of the backbone.
        head: a `MaskedHead`, or a `NextHead` where a token is seen by those after it alone.
        inputs: of texts.
        share: of the tokens that are predicted, where they are hidden.
    """
    assert isinstance(inputs, dict)
    tokens, attention = inputs["input_ids"], inputs["attention_mask"]
    if language.causal:
        read, labels = tokens, following(tokens, attention)
    else:
        read, labels = _hidden(language, tokens, attention, share)
    states = language.hidden({**inputs, "input_ids": read})
    places = labels != NONE
    logits: Tensor = head(states[places], language.table)
    return token_loss(logits, labels[places])


def _hidden(
    language: Language, tokens: Tensor, attention: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    assert language.mask is not None
    special = torch.tensor(language.special, device=tokens.device)
    allowed = (attention == 1) & ~torch.isin(tokens, special)
    select, kind = torch.rand(2, *tokens.shape, device=tokens.device, dtype=torch.float32)
    others = torch.randint(len(language.table), tokens.shape, device=tokens.device)
    return masked(tokens, allowed, language.mask, select, kind, others, share)
