"""The cost of looks: an error budget that is spent, look by look, as seeds are added.

A family that is tested, gets more seeds and is tested again has a higher error rate than it claims.
So every look at its verdicts is stored, and each look may use only a part of the error (see
`boundaries`). The part follows the function of Hwang, Shih and DeCani up to the last seed if that
was declared (`max_seeds`), else Pocock's function with a reserve. A family that is looked at for
the first time loses little; seeds that were declared beforehand lose nothing. Each arm is charged
for the seeds that were seen of it. A family is charged as its most expensive arm.

Where the last seed was declared, evidence is measured by 1/SE², not by the number of seeds: seeds
add little evidence against an error that is due to test items. So an early look has seen more than
its share of the evidence, and two looks are more correlated. The share of SE² that is due to items
is taken from an arm's first look and stays fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, NotRequired, TypeVar

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from transfergrid.evidence.statistics.boundaries import nominal, spent
from transfergrid.evidence.verdicts.families import Family, ItemShare, Levels, Seen, Shares
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.border import Reader
from transfergrid.records.ledgers.ledger import Ledger

T = TypeVar("T")


SPENDING, FORMER = "hwang_shih_decani", "pocock"
"""The spending functions up to the last declared seed: the current one, and the one used at
first."""


@dataclass(frozen=True)
class Look:
    """One look at the verdicts of some families."""

    at: str
    """ISO 8601 time, UTC."""
    by: str
    """The command that showed them, such as "verdicts"."""
    seeds: dict[str, Seen] = field(default_factory=dict)
    """Of each family, by the key of `named`, the seed blocks by arm."""
    declaration: dict[str, Any] = field(default_factory=dict)
    """The declaration at that time."""
    item_shares: Mapping[str, Shares] = field(default_factory=dict)
    """By family and arm, the share of SE² that is due to test items."""
    spending: str = SPENDING
    """The spending function, where the last seed was declared."""


class Plan(NamedTuple):
    """The seeds that were declared for a family before anybody looked at it."""

    seeds: int | None = None
    """Their number; None if nothing was declared."""
    most: int | None = None
    """The number beyond which none will be added, if declared."""


def named(family: Family) -> str:
    """Return a family as a key for JSON."""
    return "/".join(map(str, family))


def keep(ledger: Ledger, look: Look) -> None:
    """Store a look, unless it shows no seed that earlier looks did not show."""
    earlier = looks(ledger)
    if any(_is_news(earlier, name, shown) for name, shown in look.seeds.items()):
        kept = asdict(look)
        kept["seeds"] = {k: _packed(v, _spelled_seeds) for k, v in look.seeds.items()}
        kept["item_shares"] = {k: _packed(v, _spelled_share) for k, v in look.item_shares.items()}
        ledger.write_document("looks", {"id": f"{look.at}-{len(earlier)}", **kept})


def _is_news(earlier: Sequence[Look], family: str, shown: Seen) -> bool:
    return any(not now <= _known(earlier, family, arm) for arm, now in shown.items())


def _packed(by_arm: Mapping[str, T], spelled: Callable[[T], str]) -> dict[str, list[str]]:
    """Return the arms grouped by their value, serialised as text; few values are distinct."""
    found: dict[str, list[str]] = {}
    for arm, one in sorted(by_arm.items()):
        found.setdefault(spelled(one), []).append(arm)
    return found


def _unpacked(kept: Mapping[str, Sequence[str]], read: Callable[[str], T]) -> dict[str, T]:
    told = {text: read(text) for text in kept}
    return {arm: told[text] for text, arms in kept.items() for arm in arms}


def _spelled_seeds(seeds: frozenset[int]) -> str:
    return " ".join(map(str, sorted(seeds)))


def _read_seeds(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split()))


def _spelled_share(share: ItemShare) -> str:
    return f"{share.seeds} {share.share:.1f}"


def _read_share(text: str) -> ItemShare:
    seeds, share = text.split()
    return ItemShare(int(seeds), float(share))


_Shares = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8} 0[.][0-9]$")]
_Seeds = Annotated[str, Field(pattern=r"^(-?[0-9]{1,19}( -?[0-9]{1,19})*)?$")]


class _Declared(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    margin: float
    alpha: float
    correction: str
    max_seeds: int | None
    seeds: list[int]


class _Kept(TypedDict):
    at: str
    by: str
    seeds: dict[str, dict[_Seeds, list[str]]]
    declaration: _Declared
    item_shares: NotRequired[dict[str, dict[_Shares, list[str]]]]
    spending: NotRequired[str]


_kept: Reader[_Kept] = Reader(_Kept)


def read_look(text: bytes) -> Look:
    """Return a look from its stored text.

    Raises:
        BadInputError: the text is not a look.
    """
    kept = _kept(text)
    seeds: dict[str, Seen] = {k: _unpacked(v, _read_seeds) for k, v in kept["seeds"].items()}
    told = kept.get("item_shares", {}).items()
    shares = {family: _unpacked(of, _read_share) for family, of in told}
    declaration, spending = {**kept["declaration"]}, kept.get("spending", FORMER)
    return Look(kept["at"], kept["by"], seeds, declaration, shares, spending)


def looks(ledger: Ledger) -> list[Look]:
    """Return all looks, the oldest first; unreadable ones are left out with a warning."""
    return sorted(ledger.documents("looks", read_look), key=lambda look: look.at)


def _known(earlier: Iterable[Look], family: str, arm: str) -> frozenset[int]:
    """Return the seeds of an arm that earlier looks showed."""
    shown = (look.seeds.get(family, {}).get(arm, frozenset()) for look in earlier)
    return frozenset[int]().union(*shown)


def history(earlier: Iterable[Look], family: str, arm: str) -> list[int]:
    """Return how many seeds of an arm were known after each look, ascending.

    Looks that add no new seeds do not count: they show what was seen already.
    """
    known: frozenset[int] = frozenset()
    found = []
    for look in earlier:
        now = look.seeds.get(family, {}).get(arm, frozenset())
        if not now <= known:
            known |= now
            found.append(len(known))
    return found


def levels(
    earlier: Sequence[Look],
    alpha: Callable[[Family], float],
    plans: Mapping[str, Plan] | None = None,
) -> Levels:
    """Return the function that gives each family's error rate: that of its costliest arm.

    Args:
        earlier: the looks before this one.
        alpha: returns the error rate of all looks at a family together.
        plans: the seeds declared for each family, by its name.
    """

    def level(family: Family, shown: Seen, shares: Shares) -> tuple[float, float]:
        allowed, name = alpha(family), named(family)
        plan = (plans or {}).get(name, Plan())
        charged = {
            _charged(earlier, name, arm, now, shares.get(arm)) for arm, now in shown.items() if now
        }
        return _dearest(charged, plan, allowed)

    return level


@dataclass(frozen=True)
class TableLooks:
    """What the user states about looks at a table, which cannot store them.

    Args:
        most: number of seeds of an arm beyond which none will be added; None if this is the only
            look.
        earlier: the number of seeds of an arm at each earlier look, ascending.

    Raises:
        BadInputError: these numbers contradict each other.
    """

    most: int | None = None
    earlier: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.earlier and self.most is None:
            raise BadInputError(
                "looks before this one took all of the error, unless the last number of seeds was "
                "declared then: give it too, as in --max-seeds 20 --looks 3,5"
            )
        rising = all(a < b for a, b in pairwise((1, *self.earlier)))
        if not rising or (self.most is not None and self.most < max(2, *self.earlier, 2)):
            raise BadInputError(
                f"looks {','.join(map(str, self.earlier))} of at most {self.most} seeds: numbers "
                "of seeds from 2 on, ascending, up to --max-seeds"
            )

    def check(self, verdicts: Sequence[Verdict]) -> None:
        """Raise if the table contradicts what was stated.

        Raises:
            BadInputError: the table has more seeds than declared as the last, or fewer than were
                looked at.
        """
        if self.most is None or not verdicts:
            return
        now = max(one.n for one in verdicts)
        if now > self.most:
            raise BadInputError(f"--max-seeds {self.most}: there are {now} seeds of an arm already")
        if self.earlier and now < self.earlier[-1]:
            raise BadInputError(
                f"--looks {','.join(map(str, self.earlier))}: no arm has more than {now} seeds"
            )

    def levels(self, alpha: float) -> Levels | None:
        """Return the function that gives each family's error rate now; None if it is `alpha`."""
        if self.most is None:
            return None

        def level(family: Family, shown: Seen, shares: Shares) -> tuple[float, float]:
            charged = {self._charge(len(now)) for now in shown.values() if len(now) > 1}
            return _dearest(charged, Plan(None, self.most), alpha)

        return level

    def _charge(self, now: int) -> _Charge:
        return _Charge((*(n for n in self.earlier if n < now), now), True, 0, 0.0)

    def told(self, verdicts: Sequence[Verdict], alpha: float) -> list[str]:
        """Return a line on what looks cost, if there is more than one seed."""
        levels = sorted({one.level for one in verdicts if one.n > 1})
        if not levels:
            return []
        block = verdicts[0].block
        if self.most is None:
            return [
                f"A table keeps no looks: this one takes all of the error. With {block}s added and "
                f"judged again it is more than {100 * alpha:g} %; --max-seeds and --looks share it "
                "out."
            ]
        ends = " to ".join(dict.fromkeys(f"{100 * level:.2g}" for level in (levels[0], levels[-1])))
        before = f" after looks at {', '.join(map(str, self.earlier))}" if self.earlier else ""
        return [
            f"Judged at {ends} % of error a family, of {100 * alpha:g} % in all{before}: the rest "
            f"is for looks up to {self.most} {block}s."
        ]


class _Charge(NamedTuple):
    """The looks that an arm is charged for."""

    seen: tuple[int, ...]
    """The number of known seeds at each look up to this one."""
    is_whole: bool
    """Whether this look shows all known seeds. A look at new seeds without the old ones may reject
    where a look at all of them would not."""
    former: int
    """The number of these looks that spent by `FORMER`."""
    weight: float
    """The weight of test items; see `ItemShare`."""


def _charged(
    earlier: Sequence[Look], name: str, arm: str, now: frozenset[int], share: ItemShare | None
) -> _Charge:
    known, before = _known(earlier, name, arm), tuple(history(earlier, name, arm))
    former = len(history([look for look in earlier if look.spending == FORMER], name, arm))
    kept = (look.item_shares.get(name, {}).get(arm) for look in earlier)
    first = next((one for one in kept if one), None if before else share)
    weight = first.weight() if first else 0.0
    if now <= known:
        return _Charge(before, True, former, weight)
    return _Charge((*before, len(now | known)), known <= now, former, weight)


def _dearest(arms: Collection[_Charge], plan: Plan, alpha: float) -> tuple[float, float]:
    """Return the lowest levels, now and later, over all arms; without arms, the whole error."""
    least = zip(*(_priced(arm, plan, alpha) for arm in arms), strict=True)
    now, later = map(min, least) if arms else (alpha, alpha)
    return now, later


def _priced(arm: _Charge, plan: Plan, alpha: float) -> tuple[float, float]:
    """Return an arm's level at its last look, and at a later look with more seeds."""
    seen, most = arm.seen, plan.most
    n, former = seen[-1], arm.former if most else 0
    planned = plan.seeds or seen[0]  # if nothing was declared, the first look is the plan
    weight = arm.weight if most else 0.0
    if arm.is_whole:
        level = nominal(seen, planned, alpha, most, weight, former)
    else:  # other seeds than before: the newly spendable error, whatever was seen
        before = spent(seen[-2], planned, alpha, most, weight)
        level = spent(n, planned, alpha, most, weight) - before
    more = max(most, n) if most else 2 * n  # the last look, or one with twice the seeds
    if more <= n:
        return level, 0.0
    return level, nominal((*seen, more), planned, alpha, most, weight, former)


def told(level: float, alpha: float) -> str:
    """Return in words what a level other than alpha means; empty if it is alpha."""
    if abs(level - alpha) < 1e-9:
        return ""
    return f"judged at {100 * level:.2g} %"
