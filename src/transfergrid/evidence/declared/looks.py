"""What looking costs: an error that is spent, look by look, as seeds are added.

A family that is tested, given more seeds and tested again errs more often than it says. So every
look at its verdicts is kept, and each is allowed a part of the error only (see `boundaries`): by
the function of Hwang, Shih and DeCani up to the last seed, where that was declared (`max_seeds`),
else by Pocock's with a reserve. A family that was never looked at before loses little; seeds that
were declared beforehand lose nothing. Each arm is charged for the seeds that were seen of it, a
family as its dearest arm.

Evidence is counted by 1/SE², not by seeds, where the last seed was declared: of an error that comes
of test items seeds add little, so an early look has seen more than its share of them, and two looks
are more alike. What share of SE² comes of items is taken from an arm's first look, and stays.
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
"""Functions that error is spent by up to the last seed that was declared: now, and at first."""


@dataclass(frozen=True)
class Look:
    """One look at the verdicts of some families."""

    at: str
    """ISO 8601 time, UTC."""
    by: str
    """What showed them, such as "verdicts"."""
    seeds: dict[str, Seen] = field(default_factory=dict)
    """Seed blocks by arm, of each family as `named` spells it."""
    declaration: dict[str, Any] = field(default_factory=dict)
    """What was declared then."""
    item_shares: Mapping[str, Shares] = field(default_factory=dict)
    """By family and arm, what part of SE² came of test items."""
    spending: str = SPENDING
    """The function that error was spent by, where the last seed was declared."""


class Plan(NamedTuple):
    """What was declared of a family's seeds before anybody looked at it."""

    seeds: int | None = None
    """How many; None where nothing was declared."""
    most: int | None = None
    """Beyond which none will be added, if that was declared."""


def named(family: Family) -> str:
    """Spell a family as a key of JSON."""
    return "/".join(map(str, family))


def keep(ledger: Ledger, look: Look) -> None:
    """Write a look down, unless it shows nothing that an earlier one did not."""
    earlier = looks(ledger)
    if any(_is_news(earlier, name, shown) for name, shown in look.seeds.items()):
        kept = asdict(look)
        kept["seeds"] = {k: _packed(v, _spelled_seeds) for k, v in look.seeds.items()}
        kept["item_shares"] = {k: _packed(v, _spelled_share) for k, v in look.item_shares.items()}
        ledger.write_document("looks", {"id": f"{look.at}-{len(earlier)}", **kept})


def _is_news(earlier: Sequence[Look], family: str, shown: Seen) -> bool:
    return any(not now <= _known(earlier, family, arm) for arm, now in shown.items())


def _packed(by_arm: Mapping[str, T], spelled: Callable[[T], str]) -> dict[str, list[str]]:
    """Return arms by what they have in common, as a text of which there are few."""
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
    """Read one look.

    Raises:
        BadInputError: the text holds none.
    """
    kept = _kept(text)
    seeds: dict[str, Seen] = {k: _unpacked(v, _read_seeds) for k, v in kept["seeds"].items()}
    told = kept.get("item_shares", {}).items()
    shares = {family: _unpacked(of, _read_share) for family, of in told}
    declaration, spending = {**kept["declaration"]}, kept.get("spending", FORMER)
    return Look(kept["at"], kept["by"], seeds, declaration, shares, spending)


def looks(ledger: Ledger) -> list[Look]:
    """Return all looks, the oldest first; those that cannot be read are left out with a warning."""
    return sorted(ledger.documents("looks", read_look), key=lambda look: look.at)


def _known(earlier: Iterable[Look], family: str, arm: str) -> frozenset[int]:
    """Return the seeds of an arm that were seen."""
    shown = (look.seeds.get(family, {}).get(arm, frozenset()) for look in earlier)
    return frozenset[int]().union(*shown)


def history(earlier: Iterable[Look], family: str, arm: str) -> list[int]:
    """Return how many seeds of an arm were known after each look, ascending.

    Looks that add no seeds to those before them count for nothing: they show what was seen.
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
    """Return what gives each family its error at this look: that of its dearest arm.

    Args:
        earlier: the looks before this one.
        alpha: gives the error of all looks together at a family.
        plans: what was declared of each family's seeds, by its name.
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
    """What somebody says of the looks at a table, which has nowhere to keep them.

    Args:
        most: seeds of an arm, beyond which none will be added; None where this is the only look.
        earlier: how many seeds of an arm there were at each look before, ascending.

    Raises:
        BadInputError: these make no sense together.
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
        """Refuse what the table belies.

        Raises:
            BadInputError: it has more seeds than were to come, or fewer than were looked at.
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
        """Return what gives each family its error at this look; None where that is `alpha`."""
        if self.most is None:
            return None

        def level(family: Family, shown: Seen, shares: Shares) -> tuple[float, float]:
            charged = {self._charge(len(now)) for now in shown.values() if len(now) > 1}
            return _dearest(charged, Plan(None, self.most), alpha)

        return level

    def _charge(self, now: int) -> _Charge:
        return _Charge((*(n for n in self.earlier if n < now), now), True, 0, 0.0)

    def told(self, verdicts: Sequence[Verdict], alpha: float) -> list[str]:
        """Say what looks cost, in a line, where there is more than one seed."""
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
    """What an arm is charged for."""

    seen: tuple[int, ...]
    """How many seeds were known at each look up to this one."""
    is_whole: bool
    """Whether this look shows them all: one that shows new seeds without the old ones may reject
    where a look at all would not."""
    former: int
    """How many of these looks spent by `FORMER`."""
    weight: float
    """See `ItemShare`."""


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
    """Return the levels of the arm that leaves least; those of no arm are the whole error."""
    least = zip(*(_priced(arm, plan, alpha) for arm in arms), strict=True)
    now, later = map(min, least) if arms else (alpha, alpha)
    return now, later


def _priced(arm: _Charge, plan: Plan, alpha: float) -> tuple[float, float]:
    """Return an arm's level at the last of its looks, and at one with more seeds."""
    seen, most = arm.seen, plan.most
    n, former = seen[-1], arm.former if most else 0
    planned = plan.seeds or seen[0]  # of what was never declared, the first look is the plan
    weight = arm.weight if most else 0.0
    if arm.is_whole:
        level = nominal(seen, planned, alpha, most, weight, former)
    else:  # other seeds than before: what may be spent, whatever was seen
        before = spent(seen[-2], planned, alpha, most, weight)
        level = spent(n, planned, alpha, most, weight) - before
    more = max(most, n) if most else 2 * n  # the last look, or one that has the seeds doubled
    if more <= n:
        return level, 0.0
    return level, nominal((*seen, more), planned, alpha, most, weight, former)


def told(level: float, alpha: float) -> str:
    """Say in words what a level other than alpha means; empty if it is alpha."""
    if abs(level - alpha) < 1e-9:
        return ""
    return f"judged at {100 * level:.2g} %"
