"""Another vocabulary for a text model: a tokenizer of its own kind, trained on other texts.

A token that was known keeps its embedding; another gets the mean of those of the tokens that it was
cut into before (Gee et al. 2022, Fast Vocabulary Transfer, section 3).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Raw
from transfergrid.records.errors import ImpossibleError

KINDS = ("BPE", "WordPiece")
"""Models of tokens that are trained alike each time."""


def told(tokenizer: Any, title: str) -> str:
    """Return a tokenizer as text, from which `made` makes an equal one.

    Args:
        tokenizer: of transformers.
        title: of the model, for the message.

    Raises:
        ImpossibleError: it is none of the fast ones, which alone can be told and trained.
    """
    if not getattr(tokenizer, "is_fast", False) or _kind(tokenizer) not in KINDS:
        raise ImpossibleError(
            f"{title}: its tokenizer cannot be trained anew; {' and '.join(KINDS)} can, where they "
            "are fast ones"
        )
    known = tokenizer.special_tokens_map.items()
    special = {name: token for name, token in known if isinstance(token, str)}
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    if begun := backend["model"].get("continuing_subword_prefix"):
        added = backend["added_tokens"]  # what `trained` calls special for the order's sake is not
        backend["added_tokens"] = [one for one in added if not one["content"].startswith(begun)]
    return json.dumps({"backend": backend, "special": special}, sort_keys=True)


def trained(tokenizer: Any, texts: Raw, size: int, title: str) -> str:
    """Return a tokenizer of the same kind and with the same special tokens, as text.

    Of the same texts it is the same one each time.

    Args:
        tokenizer: a fast one of transformers.
        texts: single ones or pairs.
        size: tokens that it has at most, unless the texts' characters alone are more.
        title: of the model, for a message.
    """
    plain = list(_single(texts))
    learned: dict[str, Any] = {"vocab_size": size, "show_progress": False}
    if _kind(tokenizer) == "WordPiece":  # which else numbers them as chance has it
        learned["new_special_tokens"] = _continued(tokenizer, plain)
    return told(tokenizer.train_new_from_iterator(plain, **learned), title)


def _kind(tokenizer: Any) -> str:
    return type(tokenizer.backend_tokenizer.model).__name__


def _continued(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Return each character of these texts as it stands within a word."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    prefix = tokenizer.backend_tokenizer.model.continuing_subword_prefix
    normal = texts if normalizer is None else map(normalizer.normalize_str, texts)
    return [
        prefix + char for char in sorted({c for text in normal for c in text if not c.isspace()})
    ]


def made(text: str, like: Any) -> Any:
    """Return the tokenizer that a text tells of, for a model that had another one.

    Args:
        text: what `told` returned.
        like: the tokenizer that the model had.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    known = json.loads(text)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(known["backend"])),
        model_input_names=list(like.model_input_names),
        model_max_length=like.model_max_length,
        truncation_side=like.truncation_side,
        **known["special"],
    )


def exchange(embedding: nn.Embedding, before: Any, after: Any) -> None:
    """Give a table of embeddings the rows of another tokenizer's tokens.

    Args:
        embedding: changed in place.
        before: the tokenizer that its rows are of.
        after: the one that they shall be of.
    """
    old, known = embedding.weight.detach(), before.get_vocab()  # a dict anew at each call
    rows = old.new_empty(len(after), old.shape[1])
    for token, number in after.get_vocab().items():
        own = known.get(token)
        rows[number] = _mean(old, token, before, after) if own is None else old[own]
    embedding.weight = nn.Parameter(rows, requires_grad=embedding.weight.requires_grad)
    embedding.num_embeddings = len(rows)
    if embedding.padding_idx is not None:
        embedding.padding_idx = after.pad_token_id


def _mean(table: Tensor, token: str, before: Any, after: Any) -> Tensor:
    """Return the mean of the rows of the tokens that a new one was cut into."""
    prefix = getattr(after.backend_tokenizer.model, "continuing_subword_prefix", None) or ""
    text = after.convert_tokens_to_string([token]).removeprefix(prefix)
    pieces = before(text, add_special_tokens=False)["input_ids"]
    return table[torch.tensor(pieces)].mean(dim=0) if pieces else table.mean(dim=0)


def _single(texts: Raw) -> Iterator[str]:
    for text in texts:
        yield from [str(text)] if isinstance(text, str) else map(str, text)
