"""Learning from texts without labels, by predicting masked tokens or the next ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.backbone import Backbone, Language, evaluating

NONE = -100
"""The label of a position where nothing is predicted."""
HIDDEN, CHANGED = 0.8, 0.9
"""Of the tokens to predict, 80 % are masked, 10 % replaced at random and 10 % left as they are."""
SPREAD = 0.02
"""Standard deviation of a new head's weights, as in BERT."""


def masked(
    tokens: Tensor,
    allowed: Tensor,
    mask: int,
    select: Tensor,
    kind: Tensor,
    others: Tensor,
    share: float,
) -> tuple[Tensor, Tensor]:
    """Return the tokens that the network reads instead, and the labels, each (batch, length).

    Args:
        tokens: the texts' tokens.
        allowed: which tokens may be predicted: no padding, no special tokens.
        mask: the mask token.
        select: uniform random numbers; where one is below `share`, the token is predicted.
        kind: uniform random numbers that decide between masked, replaced and left.
        others: random tokens, for those that are replaced.
        share: share of the tokens that is predicted.
    """
    chosen = (select < share) & allowed
    read = torch.where(chosen & (kind < HIDDEN), mask, tokens)
    read = torch.where(chosen & (kind >= HIDDEN) & (kind < CHANGED), others, read)
    return read, torch.where(chosen, tokens, NONE)


def following(tokens: Tensor, attention: Tensor) -> Tensor:
    """Return each position's label, the next token: (batch, length); `NONE` before padding."""
    labels = torch.full_like(tokens, NONE)
    labels[:, :-1] = torch.where(attention[:, 1:] == 1, tokens[:, 1:], NONE)
    return labels


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over the positions that are predicted; 0 if there are none.

    Args:
        logits: (positions, tokens).
        labels: (positions,), `NONE` where nothing is predicted.
    """
    total = nn.functional.cross_entropy(logits, labels, ignore_index=NONE, reduction="sum")
    return total / (labels != NONE).sum().clamp_min(1)


class MaskedHead(nn.Module):
    """A dense layer, GELU and LayerNorm, then an output layer that shares the token embeddings.

    Args:
        width: width of the hidden states.
        tokens: size of the vocabulary.
        given: pretrained weights by name, used if names and shapes match; else they are new.
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
    """The token embeddings alone, as the output layer of autoregressive language models."""

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return logits (places, tokens) of hidden states (places, width)."""
        return nn.functional.linear(hidden, table)


def language_of(backbone: Backbone, by: str) -> Language:
    """Return the parts of a network that token prediction needs.

    Args:
        backbone: the network.
        by: the strategy's name, for the message.

    Raises:
        ImpossibleError: the network takes no texts, or is an encoder without a mask token.
    """
    found, title = backbone.language(), backbone.title
    if found is None:
        raise ImpossibleError(f"{by} learns from texts, and {title} takes none")
    if not found.causal and found.mask is None:
        raise ImpossibleError(f"{title} has no token that stands for a hidden one")
    return found


def checked_language(backbone: Backbone, by: str) -> Language:
    """Return `language_of` the network, whose hidden states must be as wide as its embeddings.

    Raises:
        ImpossibleError: the widths differ, or `language_of` raises it.
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
    """Return a head that predicts tokens, with the pretrained head's weights if there are any."""
    tokens, width = language.table.shape
    return NextHead() if language.causal else MaskedHead(width, tokens, language.head)


def read_through(backbone: Backbone) -> list[nn.Parameter]:
    """Return the parameters of the blocks that compute the hidden states."""
    language, named = backbone.language(), dict(backbone.named_parameters())
    assert language is not None, "it was checked"
    blocks = backbone.blocks("fine")[: language.blocks]
    return [named[name] for block in blocks for name in block.parameters]


def language_loss(language: Language, head: nn.Module, inputs: Inputs, share: float) -> Tensor:
    """Return the token prediction loss of a batch of texts; masks are drawn again at each call.

    Args:
        language: what the backbone has for token prediction.
        head: a `MaskedHead`, or a `NextHead` for a causal network.
        inputs: tokens and attention mask.
        share: share of the tokens that is predicted; ignored for a causal network.
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
