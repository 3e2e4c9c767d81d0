"""Where the splits of a folder of images are: which of its folders train, validate and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfergrid.data.images import is_image
from transfergrid.errors import BadInputError, did_you_mean

TRAIN = frozenset({"train", "training"})
VALIDATION = frozenset({"val", "valid", "validation", "dev"})
TEST = frozenset({"test", "testing"})


@dataclass(frozen=True)
class Layout:
    """Which folders hold the class folders of which split; "" is the root itself."""

    pool: tuple[str, ...]
    test: tuple[str, ...]
    fraction: float | None
    ignored: tuple[str, ...] = ()


def find_layout(spelled: str, root: Path, test_split: float | str | None) -> Layout:
    """Find the splits' folders below a root that has folders.

    `train` is a split only if it has folders in it and no images: it may be a kind of vehicle.

    Raises:
        BadInputError: there is nothing to test on, or two things, or nothing to train on.
    """
    check_test_split(test_split)
    found = {name: name.lower() for name in folders(root, "")}
    train = _named(found, TRAIN)
    named = test_split if isinstance(test_split, str) else None
    if named is not None and named not in found:
        raise BadInputError(
            f"{spelled} has no folder {named!r} to test on{did_you_mean(named, found)}"
        )
    if not any(_holds_classes(root / name) for name in train):
        _check_no_orphans(spelled, root, found)
        return _flat_layout(spelled, test_split)
    test = (named,) if named is not None else _named(found, TEST)
    validation = tuple(name for name in _named(found, VALIDATION) if name != named)
    pool = (*(name for name in train if name != named), *validation)
    fraction = None if isinstance(test_split, str) else test_split
    if test and fraction is not None:
        raise BadInputError(f"{spelled} has a folder {test[0]!r} already: leave out test_split")
    if not test and fraction is None:
        raise BadInputError(f"{spelled} has no test folder: give {_advice(validation)}")
    if not pool:
        raise BadInputError(f"{spelled} has nothing left to train on beside {named!r}")
    return Layout(pool, test, fraction, tuple(sorted(set(found) - {*pool, *test})))


def check_test_split(test_split: object, kind: str = "folder") -> None:
    """Raise `BadInputError` unless this is nothing, a name, or a share between 0 and 1."""
    if test_split is None or (isinstance(test_split, str) and test_split):
        return
    is_share = isinstance(test_split, float) and 0 < test_split < 1
    if not is_share:
        known = f"a share between 0 and 1, or the name of a {kind}"
        raise BadInputError(f"test_split must be {known}, not {test_split!r}")


def _flat_layout(spelled: str, test_split: float | str | None) -> Layout:
    """Return the layout of class folders right below the root."""
    if test_split is None:
        raise BadInputError(f"{spelled} has no test folder: give {_advice(())}")
    if isinstance(test_split, str):
        raise BadInputError(f"{spelled} has no train folder beside {test_split!r}")
    return Layout(("",), (), test_split)


def _check_no_orphans(spelled: str, root: Path, found: dict[str, str]) -> None:
    known = TRAIN | VALIDATION | TEST
    if all(low in known and _holds_classes(root / name) for name, low in found.items()):
        raise BadInputError(f"{spelled} has no train folder, only {', '.join(sorted(found))}")


def _advice(validation: tuple[str, ...]) -> str:
    folder = f"test_split={validation[0]} to test on that folder, or " if validation else ""
    return folder + "a share of each class, such as target.test_split=0.2"


def _named(found: dict[str, str], known: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name, low in found.items() if low in known))


def folders(root: Path, split: str) -> list[str]:
    """Return the sorted names of the visible folders in a split's folder."""
    return sorted(
        entry.name
        for entry in (root / split).iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _holds_classes(folder: Path) -> bool:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return any(e.is_dir() for e in entries) and not any(is_image(e.name) for e in entries)
