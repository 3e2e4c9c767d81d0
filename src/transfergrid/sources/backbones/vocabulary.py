"""Another vocabulary for a text model: a tokenizer of the same kind, trained on other texts.

A token of the old vocabulary keeps its embedding. A new token gets the mean embedding of the old
tokens into which the old tokenizer splits it (Gee et al. 2022, Fast Vocabulary Transfer, section
3).
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
"""Kinds of tokenizer whose training is deterministic."""


def told(tokenizer: Any, title: str) -> str:
    """Serialise a tokenizer to text, from which `made` makes an equal one.

    Args:
        tokenizer: of the library transformers.
        title: of the model, for the message.

    Raises:
        ImpossibleError: it is not a fast tokenizer of one of the `KINDS`; only these can be
            serialised and trained.
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
        added = backend["added_tokens"]  # `trained` adds these only to fix their order
        backend["added_tokens"] = [one for one in added if not one["content"].startswith(begun)]
    return json.dumps({"backend": backend, "special": special}, sort_keys=True)


def trained(tokenizer: Any, texts: Raw, size: int, title: str) -> str:
    """Train a tokenizer of the same kind, with the same special tokens; return it as text.

    The same texts always give the same tokenizer.

    Args:
        tokenizer: a fast one of the library transformers.
        texts: single texts or pairs.
        size: the largest number of tokens, unless the texts have more distinct characters.
        title: of the model, for a message.
    """
    plain = list(_single(texts))
    learned: dict[str, Any] = {"vocab_size": size, "show_progress": False}
    if _kind(tokenizer) == "WordPiece":  # otherwise their order is random
        learned["new_special_tokens"] = _continued(tokenizer, plain)
    return told(tokenizer.train_new_from_iterator(plain, **learned), title)


def _kind(tokenizer: Any) -> str:
    return type(tokenizer.backend_tokenizer.model).__name__


def _continued(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Return a token for each character of these texts inside a word, such as "##a"."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    prefix = tokenizer.backend_tokenizer.model.continuing_subword_prefix
    normal = texts if normalizer is None else map(normalizer.normalize_str, texts)
    return [
        prefix + char for char in sorted({c for text in normal for c in text if not c.isspace()})
    ]


def made(text: str, like: Any) -> Any:
    """Return the tokenizer that a text describes, for a model that had another one.

    Args:
        text: as `told` returns it.
        like: the model's old tokenizer, which gives input names and the longest length.
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
    """Replace the rows of a table of embeddings by rows for another tokenizer's tokens.

    Args:
        embedding: changed in place.
        before: the tokenizer of the present rows.
        after: the tokenizer of the new rows.
    """
    old, known = embedding.weight.detach(), before.get_vocab()  # builds a dict at each call
    rows = old.new_empty(len(after), old.shape[1])
    for token, number in after.get_vocab().items():
        own = known.get(token)
        rows[number] = _mean(old, token, before, after) if own is None else old[own]
    embedding.weight = nn.Parameter(rows, requires_grad=embedding.weight.requires_grad)
    embedding.num_embeddings = len(rows)
    if embedding.padding_idx is not None:
        embedding.padding_idx = after.pad_token_id


def _mean(table: Tensor, token: str, before: Any, after: Any) -> Tensor:
    """Return the mean row of the old tokens that a new token consists of.

    Without any, return the mean of the whole table.
    """
    prefix = getattr(after.backend_tokenizer.model, "continuing_subword_prefix", None) or ""
    text = after.convert_tokens_to_string([token]).removeprefix(prefix)
    pieces = before(text, add_special_tokens=False)["input_ids"]
    return table[torch.tensor(pieces)].mean(dim=0) if pieces else table.mean(dim=0)


def _single(texts: Raw) -> Iterator[str]:
    for text in texts:
        yield from [str(text)] if isinstance(text, str) else map(str, text)
