"""Exact and near copies among texts.

Two texts are exact copies if they are equal after simplification: case, punctuation and spacing are
ignored. They are near copies if the simplified texts' sets of four-character pieces have a Jaccard
similarity of 0.8 or more: Broder's resemblance of shingles (On the resemblance and containment of
documents, 1997), at the threshold that Lee et al. (Deduplicating training data makes language
models better, 2022, section 4.2) use on words. After one changed word, a sentence of a hundred
characters is still a near copy; a phrase of five words is not.

The search uses no random sketches (such as MinHash) and is exact: two sets of that similarity must
share some of their rarest pieces, among the rarest fifth of each set and a few more (prefix
filtering; Chaudhuri et al., A primitive operator for similarity joins in data cleaning, 2006; Wang
et al., Can we beat the prefix filtering?, 2012). Only pairs that share these are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from transfergrid.data.copies.found import Copies, add_near, exact_copies

PIECE = 4
"""Length of a piece in characters."""
SIMILAR = 4, 5
"""The least similarity of near copies, as a fraction: 4/5."""
MOST_PIECES = 20_000_000
"""Limit of pieces in memory. In a larger collection, candidates are found by only every m-th kind
of piece, and then compared by all pieces."""
SHARED = 4
"""How many of the rarest pieces two texts must share; fewer for very short texts."""
ROWS = 256
"""How many test texts are compared at once."""

Text = str | tuple[str, str]
Numbers = NDArray[np.int64]

_BETWEEN_WORDS = re.compile(r"[\W_]+")


def find_copies(pool: Sequence[Text], test: Sequence[Text]) -> Copies:
    """Return the copies between two lists of texts, or of pairs of texts."""
    if not len(pool) or not len(test):
        return Copies.none(len(pool), len(test))
    simple = [[simplified(text) for text in part] for part in (pool, test)]
    keys = [np.array([_key(text) for text in part], dtype=np.uint64) for part in simple]
    copies = exact_copies(keys[0], keys[1])
    once = [np.unique(key, return_index=True)[1] for key in keys]
    texts = [[part[i] for i in kept] for part, kept in zip(simple, once, strict=True)]
    for p, t in _near_pairs(texts[0], texts[1]):
        _spread(copies, keys, once[0][p], once[1][t])
    return copies


def simplified(text: Text) -> str:
    """Return a text in lower case with one space for each run of other than letters and digits.

    A text without letters and digits, such as ":-)", keeps its characters.
    """
    if not isinstance(text, str):
        return "\n".join(simplified(part) for part in text)
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _BETWEEN_WORDS.sub(" ", plain).strip() or plain.strip()


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _spread(copies: Copies, keys: list[NDArray[np.uint64]], pool: Numbers, test: Numbers) -> None:
    """Add pairs of near copies among distinct texts, and mark all examples with the same texts.

    Args:
        copies: changed in place.
        keys: of all examples' texts, in the pool and in the test split.
        pool: indices (k,) in the pool of the first example with each text.
        test: indices (k,) in the test split, likewise.
    """
    first, again = np.isin(keys[0], keys[0][pool]), np.isin(keys[1], keys[1][test])
    copies.near |= again & ~copies.exact
    copies.pool |= first
    add_near(copies, pool, test)


def _near_pairs(pool: list[str], test: list[str]) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield pairs of near copies: indices in the pool and in the test split, (k,) each."""
    texts = pool + test
    every = max(1, -(-sum(len(text) for text in texts) // MOST_PIECES))
    for p, t in _similar(Pieces(texts, every), len(pool)):
        if every > 1:
            pairs = zip(p.tolist(), t.tolist(), strict=True)
            kept = [similarity(pool[i], test[j]) * SIMILAR[1] >= SIMILAR[0] for i, j in pairs]
            p, t = p[kept], t[kept]
        if len(p):
            yield p, t


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of two simplified texts' sets of pieces."""
    first, second = (
        {f" {t} "[i : i + PIECE] for i in range(len(t) + 3 - PIECE)} for t in (one, other)
    )
    return len(first & second) / (len(first | second) or 1)


class Pieces:
    """The sets of pieces of texts, as sparse matrices with a row per text; rare pieces come first.

    Attributes:
        sizes: (n,) the number of distinct pieces of each text.
        whole: (n, pieces) 1 for each piece of a text.
        rare: (n, pieces) 1 for each of a text's rarest pieces only.
        needed: (n,) the least number of rare pieces that a text shares with any similar text.
    """

    def __init__(self, texts: list[str], every: int) -> None:
        """Cut the texts (n,) into pieces, and keep every `every`-th kind of piece."""
        n = len(texts)
        cells = _distinct(_cut(texts, every))
        frequency = np.bincount((cells & _KIND) >> _FINE, minlength=1 << (_BITS - _FINE))
        rank = np.empty(len(frequency), dtype=np.int64)
        rank[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
        columns = (rank[(cells & _KIND) >> _FINE] << _FINE) | (cells & ((1 << _FINE) - 1))
        cells = np.sort((cells & ~_KIND) | columns)
        rows, columns = cells >> _BITS, cells & _KIND
        self.sizes = np.bincount(rows, minlength=n)
        starts = _starts(self.sizes)
        self.whole = _ones(columns, starts, 1 << _BITS)
        least = -(-SIMILAR[0] * self.sizes // SIMILAR[1])  # pieces shared with any similar set
        self.needed = np.minimum(SHARED, least)
        early = np.arange(len(rows)) - starts[rows] < (self.sizes - least + self.needed)[rows]
        kinds, columns = np.unique(columns[early], return_inverse=True)
        starts = _starts(np.bincount(rows[early], minlength=n))
        self.rare = _ones(columns, starts, max(1, len(kinds)))


_BITS = 30
"""Bits of a piece's hash; a collection has about 100,000 kinds of pieces, a text about 100."""
_FINE = 12
"""Frequencies are counted for groups of kinds whose hashes differ only in this many last bits."""
_KIND = (1 << _BITS) - 1


def _starts(sizes: Numbers) -> Numbers:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def _distinct(values: Numbers) -> Numbers:
    """Return the same as `np.unique`, several times faster if many values are equal."""
    values = np.sort(values)
    new: NDArray[np.bool_] = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
    return values[new]


def _ones(columns: Numbers, starts: Numbers, width: int) -> csr_array:
    values = np.ones(len(columns), dtype=np.int32)
    short = columns.astype(np.int32), starts.astype(np.int32)
    return csr_array((values, *short), shape=(len(starts) - 1, width))


def _cut(texts: list[str], every: int) -> Numbers:
    """Return a number for each piece, (k,): the text's number in the upper bits, then the kind."""
    steps = range(0, len(texts), 10_000)
    return np.concatenate(
        [_hashed(texts[i : i + 10_000], i, every) for i in steps] or [np.empty(0, np.int64)]
    )


def _hashed(texts: list[str], first: int, every: int) -> Numbers:
    """Cut and hash some texts; see `_cut`. The first text has the number `first`."""
    joined = "".join(f"\0 {text} " for text in texts)
    letters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    rows = np.cumsum(letters == 0) - 1 + first
    inside = np.ones(max(0, len(letters) - PIECE + 1), dtype=bool)
    hashes = np.zeros(len(inside), dtype=np.uint64)
    for k in range(PIECE):
        letter = letters[k : k + len(inside)]
        inside &= letter != 0
        hashes = (hashes + letter) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    inside &= (hashes >> np.uint64(_BITS)) % np.uint64(every) == 0
    kinds = (hashes[inside] & np.uint64(_KIND)).astype(np.int64)
    return (rows[: len(inside)][inside] << _BITS) | kinds


def _similar(pieces: Pieces, n_pool: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the pairs of similar sets, as indices in the pool and in the test split.

    The first `n_pool` sets are the pool's.
    """
    numerator, denominator = SIMILAR
    rare = pieces.rare[:n_pool].T.tocsr()
    for start in range(n_pool, len(pieces.sizes), ROWS):
        found = (pieces.rare[start : start + ROWS] @ rare).tocoo()
        test, pool = found.row.astype(np.int64) + start, found.col.astype(np.int64)
        small, large = (f(pieces.sizes[test], pieces.sizes[pool]) for f in (np.minimum, np.maximum))
        possible = found.data >= np.minimum(pieces.needed[test], pieces.needed[pool])
        possible &= small * denominator >= large * numerator
        test, pool = test[possible], pool[possible]
        shared = np.diff(pieces.whole[test].multiply(pieces.whole[pool]).indptr)
        union = pieces.sizes[test] + pieces.sizes[pool] - shared
        near = shared * denominator >= union * numerator
        yield pool[near], test[near] - n_pool
