"""Preprocessing of texts to a transformer's inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.records.errors import BadInputError, check_known

if TYPE_CHECKING:
    from transfergrid.data.inputs import Inputs, Raw

WORD_DROPOUT = {"none": 0.0, "light": 0.1, "strong": 0.25}
"""By augmentation: the probability with which each word is left out."""
SPECIAL = -1
"""Word number of special tokens and of padding."""
MOST_WORDS = 2**15 - 1
"""Largest word number, because they are int16; all words beyond share it."""


@dataclass(frozen=True)
class TextPreprocess:
    """Tokenises texts, pads on the right, and leaves out words as augmentation.

    Two of these are equal if they make the same inputs from every text.

    Attributes:
        identity: hash of the tokenizer, which replaces it in comparisons.
        max_length: largest number of tokens in an input, including special ones.
        tokenizer: of the library transformers. A fast one knows which tokens form a word; with a
            slow one each token counts as a word.
        ahead: random numbers for this many first words of all texts are drawn before those for
            further words; 0: all at once. See `drawing`.
    """

    identity: str
    max_length: int
    tokenizer: Any = field(compare=False, repr=False)
    ahead: int = field(default=0, compare=False, repr=False)

    @classmethod
    def of(cls, tokenizer: Any, max_length: int) -> TextPreprocess:
        """Return the preprocessing with this tokenizer."""
        return cls(tokenizer_identity(tokenizer), max_length, tokenizer)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs that `finish` returns."""
        typed = "token_type_ids" in self.tokenizer.model_input_names
        return ("input_ids", "attention_mask", *(("token_type_ids",) if typed else ()))

    @property
    def padding(self) -> int:
        """The padding token; any token will do, because the attention mask is 0 there."""
        tokenizer = self.tokenizer
        known = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
        return next((int(token) for token in known if token is not None), 0)

    @property
    def fills(self) -> dict[str, int]:
        """Padding values of the outputs of `prepare`, by name, if not 0."""
        return {"input_ids": self.padding, "words": SPECIAL}

    def __deepcopy__(self, memo: dict[int, Any]) -> TextPreprocess:
        """Return itself, because it never changes and a tokenizer is large."""
        return self

    def prepare(self, raw: Raw) -> dict[str, Tensor]:
        """Tokenise n texts, or pairs of texts.

        Returns:
            `names`, each int64 (n, longest); "words", the number of each token's word, int16
            (n, longest); "cut", whether the text was truncated to `max_length`, bool (n,); for
            pairs also "second", the number of the second text's first word, int16 (n,).

        Raises:
            BadInputError: something in `raw` is neither a text nor a pair of texts.
        """
        columns = _columns(raw)
        if not columns[0]:
            return self._nothing()
        encoded = self.tokenizer(*columns, truncation=False, padding=False, verbose=False)
        cut = [len(ids) > self.max_length for ids in encoded["input_ids"]]
        if any(cut):
            encoded = self.tokenizer(*columns, truncation=True, max_length=self.max_length)
        rows = [np.asarray(ids, dtype=np.int64) for ids in encoded["input_ids"]]
        words = [self._words(encoded, i, ids) for i, ids in enumerate(rows)]
        rows = [ids if len(ids) else self._filler() for ids in rows]
        prepared = {
            "input_ids": _padded(rows, self.padding),
            "attention_mask": _padded([np.ones_like(ids) for ids in rows], 0),
        }
        if "token_type_ids" in self.names:
            types = [
                np.resize(kinds or [0], len(ids))
                for kinds, ids in zip(encoded["token_type_ids"], rows, strict=True)
            ]
            prepared["token_type_ids"] = _padded(types, 0)
        prepared["words"] = _padded(words, SPECIAL).to(torch.int16)
        if len(columns) == 2:
            starts = [self._second(encoded, i, numbers) for i, numbers in enumerate(words)]
            prepared["second"] = torch.tensor(starts, dtype=torch.int16)
        return {**prepared, "cut": torch.tensor(cut)}

    def _nothing(self) -> dict[str, Tensor]:
        prepared = {name: torch.zeros(0, 1, dtype=torch.int64) for name in self.names}
        prepared["words"] = torch.zeros(0, 1, dtype=torch.int16)
        return {**prepared, "cut": torch.zeros(0, dtype=torch.bool)}

    def finish(
        self, prepared: Inputs, augmentation: str, rng: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Return the backbone's inputs, each int64 (n, longest), padded to the longest of these.

        Args:
            prepared: the output of `prepare`, on any device.
            augmentation: "none"; "light" leaves out each word with probability 0.1, "strong" with
                0.25. At least one word of each text (each text of a pair) stays, and all special
                tokens.
            rng: a CPU generator; without it nothing is left out.

        Raises:
            BadInputError: there is no such augmentation.
        """
        check_known("augmentation", augmentation, WORD_DROPOUT)
        assert isinstance(prepared, dict)
        inputs = {name: prepared[name] for name in self.names}
        chance = WORD_DROPOUT[augmentation]
        if chance and rng is not None and len(prepared["words"]):
            left_out = _dropped(
                prepared["words"].to(torch.int64), prepared.get("second"), chance, rng, self.ahead
            )
            inputs = self._without(inputs, left_out)
        longest = max(1, int(inputs["attention_mask"].sum(1).max())) if len(prepared["cut"]) else 1
        return {name: value[:, :longest].contiguous() for name, value in inputs.items()}

    def drawn(self, prepared: Inputs) -> int:
        """Return for how many words of each of these texts `finish` draws a random number."""
        assert isinstance(prepared, dict)
        return max(1, int(prepared["words"].max()) + 1) if len(prepared["words"]) else 0

    def drawing(self, ahead: int) -> TextPreprocess:
        """Return a copy that leaves out the same words as one whose `drawn` is `ahead`.

        Given an equal `rng`, that holds as far as both tokenizers number a text's words alike.
        """
        return replace(self, ahead=ahead)

    def cut(self, prepared: Inputs) -> int:
        """Return how many of these texts were truncated to `max_length`."""
        assert isinstance(prepared, dict)
        return int(prepared["cut"].sum())

    def _filler(self) -> NDArray[np.int64]:
        """Return the single token of an empty text, for tokenizers that add no special token."""
        begins = self.tokenizer.bos_token_id
        return np.asarray([self.padding if begins is None else begins], dtype=np.int64)

    def _words(self, encoded: Any, row: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the word number of each token of a row, `SPECIAL` for special tokens."""
        if not len(ids):
            return np.asarray([SPECIAL])
        if not self.tokenizer.is_fast:
            special = self.tokenizer.get_special_tokens_mask(ids.tolist(), None, True)
            return _numbered(np.asarray(special) == 0)
        found = [SPECIAL if word is None else word for word in encoded.word_ids(row)]
        words = np.asarray(found, dtype=np.int64)
        second = np.asarray(self._in_second(encoded, row))
        plain = words != SPECIAL
        for own in (plain & ~second, plain & second):
            if len(set(words[own])) < 2:  # some tokenizers treat a whole text as one word
                words[own] = np.arange(own.sum())
        words[plain & second] += 1 + words[~second].max(initial=SPECIAL)
        return np.minimum(words, MOST_WORDS)

    def _in_second(self, encoded: Any, row: int) -> list[bool]:
        """Return for each token of a row whether it belongs to the second text of a pair.

        Slow tokenizers say so by token types; without these the list is empty, and all tokens
        count as the first text's.
        """
        if self.tokenizer.is_fast:
            return [part == 1 for part in encoded.sequence_ids(row)]
        types = encoded.get("token_type_ids")
        return [kind == 1 for kind in types[row]] if types else []

    def _second(self, encoded: Any, row: int, words: NDArray[np.int64]) -> int:
        """Return the number of the second text's first word; `MOST_WORDS` if it has no words."""
        own = [
            int(word)
            for word, second in zip(words, self._in_second(encoded, row), strict=False)
            if second and word != SPECIAL
        ]
        return min(own, default=MOST_WORDS)

    def _without(self, inputs: dict[str, Tensor], left_out: Tensor) -> dict[str, Tensor]:
        """Remove the tokens that are left out, (n, L) bool; the others move to the left."""
        mask = inputs["attention_mask"] * ~left_out
        order = (mask == 0).to(torch.int8).argsort(dim=1, stable=True)
        moved = {name: value.gather(1, order) for name, value in inputs.items()}
        mask = mask.gather(1, order)
        return {
            name: torch.where(mask == 1, value, self.fills.get(name, 0))
            for name, value in moved.items()
        }


def tokenizer_identity(tokenizer: Any) -> str:
    """Return a hash, 16 hex digits, of all that decides how a tokenizer tokenises texts."""
    told: dict[str, Any] = {
        "class": type(tokenizer).__name__ if not tokenizer.is_fast else "fast",
        "inputs": list(tokenizer.model_input_names),
        "cut": getattr(tokenizer, "truncation_side", "right"),
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
    }
    if tokenizer.is_fast:
        told["backend"] = json.loads(tokenizer.backend_tokenizer.to_str())
        told["backend"].pop("padding", None)
        told["backend"].pop("truncation", None)
    else:
        told["vocabulary"] = sorted(tokenizer.get_vocab().items())
        told["lower"] = getattr(tokenizer, "do_lower_case", None)
    text = json.dumps(told, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _columns(raw: Raw) -> list[list[str]]:
    """Return texts as one list, or pairs as two lists.

    Raises:
        BadInputError: an example is neither a text nor a pair, or both kinds are mixed.
    """
    if all(isinstance(text, str) for text in raw):
        return [[str(text) for text in raw]]
    for example in raw:
        pair = isinstance(example, (tuple, list)) and len(example) == 2
        if not (pair and all(isinstance(text, str) for text in example)):
            found = type(example).__name__
            raise BadInputError(f"a text must be a string, or all pairs of strings, not {found}")
    return [[str(first) for first, _ in raw], [str(second) for _, second in raw]]


def _padded(rows: Sequence[NDArray[np.int64]], fill: int) -> Tensor:
    longest = max(len(row) for row in rows)
    padded = np.full((len(rows), longest), fill, dtype=np.int64)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return torch.from_numpy(padded)


def _numbered(plain: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the plain tokens consecutively; the others get `SPECIAL`."""
    return np.where(plain, np.minimum(np.cumsum(plain) - 1, MOST_WORDS), SPECIAL)


def _dropped(
    words: Tensor, second: Tensor | None, chance: float, rng: torch.Generator, ahead: int = 0
) -> Tensor:
    """Draw which tokens (n, L) are left out: all tokens of a word, or none.

    At least one word of each text stays, and of each text of a pair. A pair's second text begins
    at the word `second` (n,). Random numbers for the first `ahead` words of all texts are drawn
    before those for further words.
    """
    n, most = len(words), max(int(words.max()) + 1, 1)
    parts = [ahead, most - ahead] if 0 < ahead < most else [ahead or most]
    drawn = [torch.rand(n, part, generator=rng) for part in parts]
    draws = torch.cat(drawn, dim=1)[:, :most].to(words.device)
    there = torch.zeros(n, draws.shape[1] + 1, dtype=torch.bool, device=words.device)
    there.scatter_(1, words + 1, True)
    draws = torch.where(there[:, 1:], draws, -1.0)
    out = draws < chance
    texts = [draws]
    if second is not None:
        first = torch.arange(draws.shape[1], device=words.device) < second.unsqueeze(1)
        texts = [torch.where(first, draws, -1.0), torch.where(first, -1.0, draws)]
    for text in texts:
        highest, stays = text.max(1, keepdim=True)
        out.scatter_(1, stays, out.gather(1, stays) & (highest < 0))  # below 0: no word
    return out.gather(1, words.clamp(min=0)) & (words != SPECIAL)
