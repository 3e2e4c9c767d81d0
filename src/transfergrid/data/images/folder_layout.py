"""Where the splits of a folder of images are: which of its folders train, validate and test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfergrid.data.content_splits import named
from transfergrid.data.images.image_kinds import is_image, is_junk
from transfergrid.records.errors import BadInputError, did_you_mean

TRAIN = frozenset({"train", "training"})
VALIDATION = frozenset({"val", "valid", "validation", "dev"})
TEST = frozenset({"test", "testing"})

_WORDS = {
    **dict.fromkeys((*TRAIN, "trains", "trainings", "trn"), "train"),
    **dict.fromkeys((*VALIDATION, "vals", "valids", "validations", "validate"), "validation"),
    **dict.fromkeys((*TEST, "tests", "testings", "tst"), "test"),
}
"""What the words for splits mean in names of folders."""
_FILLERS = (
    *("dataset", "data", "sets", "set", "splits", "split", "images", "image", "imgs", "img"),
    *("pictures", "photos", "samples", "folder", "seg"),
)
"""Words that may stand beside them and say nothing."""
_ANSWERS = ("mask", "masks", "label", "labels", "annotation", "annotations", "csv", "metadata")
"""Folders of what belongs to images."""


@dataclass(frozen=True)
class Layout:
    """Which folders hold the class folders of which split; "" is the root itself."""

    pool: tuple[str, ...]
    test: tuple[str, ...]
    fraction: float | None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Role:
    """What the name of a folder says: which split it is, and of what (mostly of nothing named)."""

    split: str
    of: str


def role_of(name: str) -> Role | None:
    """Read the name of a folder: `Training_Set`, `seg_train`, `testset`, `flowers-val`, ...

    A folder of some named thing, such as `flowers-val`, is a split only beside others of it.
    """
    words = [_unglued(word) for word in re.findall(r"[^\W\d_]+|\d+", name.lower())]
    splits = [_WORDS[word] for word in words if word in _WORDS]
    rest = [word for word in words if word not in _WORDS and word not in _FILLERS]
    return Role(splits[0], " ".join(rest)) if len(splits) == 1 else None


def _unglued(word: str) -> str:
    """Return the word for a split in `trainset`, or the word itself."""
    ends = [word.removesuffix(filler) for filler in _FILLERS]
    return next((end for end in ends if end in _WORDS), word)


def find_layout(spelled: str, root: Path, test_split: float | str | None) -> Layout:
    """Find the splits' folders below a root that has folders.

    `train` is a split only if its folders look like classes: it may be a kind of vehicle. A folder
    that holds nothing but one of its own name, as archives unpack, or one named data or images,
    stands for that one.

    Raises:
        BadInputError: there is nothing to test on, or two things, or nothing to train on, or it
            cannot be told what the folders are.
    """
    base = _unwrapped(root, "", root.name)
    found = {name: _below(base, name) for name in folders(root, base)}
    told = test_split if isinstance(test_split, str) else None
    if told is not None and told not in found:
        raise BadInputError(
            f"{spelled} has no folder {told!r} to test on{did_you_mean(told, found)}"
        )
    roles = _one_family(spelled, root, found)
    if not any(role.split == "train" for role in roles.values()):
        _check_no_orphans(spelled, root, found)
        _check_are_no_parts(spelled, found)
        _check_are_classes(spelled, root, found)
        return _flat_layout(spelled, base, test_split)
    return _split_layout(spelled, root, found, roles, test_split)


def _split_layout(
    spelled: str,
    root: Path,
    found: Mapping[str, str],
    roles: Mapping[str, Role],
    test_split: float | str | None,
) -> Layout:
    told = test_split if isinstance(test_split, str) else None
    fraction = None if isinstance(test_split, str) else test_split
    by_split = {
        split: [name for name in sorted(roles) if roles[name].split == split and name != told]
        for split in ("train", "validation", "test")
    }
    test = [told] if told is not None else by_split["test"]
    pool = [*by_split["train"], *by_split["validation"]]
    if test and fraction is not None:
        raise BadInputError(f"{spelled} has a folder {test[0]!r} already: leave out test_split")
    if not test and fraction is None:
        classes = folders(root, found[by_split["train"][0]])
        alike = [
            name for name in sorted(set(found) - {*pool}) if folders(root, found[name]) == classes
        ]
        advice = _advice([*by_split["validation"], *alike])
        raise BadInputError(f"{spelled} has no test folder: give {advice}")
    if not pool:
        raise BadInputError(f"{spelled} has nothing left to train on beside {told!r}")
    ignored = tuple(sorted(set(found) - {*pool, *test}))
    inside = {name: _unwrapped(root, found[name], name) for name in (*pool, *test)}
    pool, test = ([inside[name] for name in names] for names in (pool, test))
    return Layout(tuple(pool), tuple(test), fraction, ignored)


def _below(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def _unwrapped(root: Path, split: str, name: str) -> str:
    """Return a folder, or the one inside it that is all it holds and has its name, or none."""
    inner = folders(root, split)
    if len(inner) != 1 or _images_in(root / split):
        return split
    within = _below(split, inner[0])
    says_nothing = inner[0] == name or inner[0].lower() in _FILLERS
    return _unwrapped(root, within, name) if says_nothing and folders(root, within) else split


def _one_family(spelled: str, root: Path, found: Mapping[str, str]) -> dict[str, Role]:
    """Return the folders that are the splits of one thing; none if nothing is to train on.

    Raises:
        BadInputError: there are several such things.
    """
    roles = {name: role for name in found if (role := role_of(name)) is not None}
    families: dict[str, dict[str, Role]] = {}
    for name, role in roles.items():
        families.setdefault(role.of, {})[name] = role
    whole = {of: members for of, members in families.items() if _is_family(root, found, members)}
    if "" in whole or not whole:
        return whole.get("", {})
    if len(whole) > 1:
        held = "; ".join(", ".join(sorted(members)) for members in whole.values())
        raise BadInputError(
            f"{spelled} holds several data sets ({held}): give target.root of a folder with one"
        )
    return next(iter(whole.values()))


def _is_family(root: Path, found: Mapping[str, str], members: Mapping[str, Role]) -> bool:
    """Tell whether folders are the splits of one thing: to train on, and if it is named to test."""
    splits = {role.split for role in members.values()}
    if "train" not in splits or (len(splits) < 2 and any(role.of for role in members.values())):
        return False
    return any(
        _holds_classes(root, found, name) for name, role in members.items() if role.split == "train"
    )


def _holds_classes(root: Path, found: Mapping[str, str], name: str) -> bool:
    """Tell whether a folder's folders are classes.

    If images lie beside them, it is one of a kind of vehicle, unless another split has folders of
    the same names, or nothing else could be a class.
    """
    inner = set(folders(root, found[name]))
    if not inner or not _images_in(root / found[name]):
        return bool(inner)
    others = {other: set(folders(root, place)) for other, place in found.items() if other != name}
    splits = [theirs for other, theirs in others.items() if role_of(other) is not None]
    return any(inner & theirs for theirs in splits) or len(splits) == len(others)


def _check_no_orphans(spelled: str, root: Path, found: Mapping[str, str]) -> None:
    roles = [role_of(name) for name in found]
    if all(role is not None and not role.of for role in roles) and all(
        folders(root, place) for place in found.values()
    ):
        raise BadInputError(f"{spelled} has no train folder, only {', '.join(sorted(found))}")


def _check_are_no_parts(spelled: str, found: Mapping[str, str]) -> None:
    """Raise if names of folders say that they are splits, or images and what belongs to them.

    Raises:
        BadInputError: they are no classes, and there are none below them either.
    """
    splits = {role.split for name in found if (role := role_of(name)) is not None and not role.of}
    if {"train", "test"} <= splits or {"train", "validation"} <= splits:
        here = (
            f"{spelled} has {named(list(found))}, and no folders of classes in what is to train on"
        )
        raise BadInputError(f"{here}: sort the images into such, or use target=image_table")
    if {name.lower() for name in found} <= {*_FILLERS, *_ANSWERS}:
        here = f"{spelled} has {named(list(found))}, which are no classes"
        raise BadInputError(
            f"{here}: give target.root of a folder of classes, or target=image_table"
        )


def _check_are_classes(spelled: str, root: Path, found: Mapping[str, str]) -> None:
    """Raise if the folders look like splits of other names, or like classes that hold splits.

    Raises:
        BadInputError: each holds the same folders, and no images beside them.
    """
    inner = {name: folders(root, place) for name, place in found.items()}
    first = next(iter(inner.values()), [])
    alike = len(inner) > 1 and len(first) > 1 and all(theirs == first for theirs in inner.values())
    if not alike or any(_images_in(root / place) for place in found.values()):
        return
    both = f"{spelled}: {named(list(found))} hold the same folders, {named(first)}"
    if all(role_of(name) is not None for name in first):
        raise BadInputError(
            f"{both}: put the splits above the classes, as in train/{next(iter(found))}"
        )
    raise BadInputError(
        f"{both}: if those are the classes, name their folders train and test; else put the images "
        f"right into {next(iter(found))}, ..."
    )


def _flat_layout(spelled: str, base: str, test_split: float | str | None) -> Layout:
    """Return the layout of class folders right below the root."""
    if test_split is None:
        raise BadInputError(f"{spelled} has no test folder: give {_advice(())}")
    if isinstance(test_split, str):
        raise BadInputError(f"{spelled} has no train folder beside {test_split!r}")
    return Layout((base,), (), test_split)


def _advice(others: Sequence[str]) -> str:
    folder = f"target.test_split={others[0]} to test on that folder, or " if others else ""
    return folder + "a share of each class, such as target.test_split=0.2"


def folders(root: Path, split: str) -> list[str]:
    """Return the sorted names of the visible folders in a split's folder."""
    return sorted(
        entry.name
        for entry in (root / split).iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and not is_junk(entry.name)
    )


def _images_in(folder: Path) -> list[str]:
    """Return the names of what lies right in a folder and should be an image."""
    return [e.name for e in folder.iterdir() if is_image(e.name) and not e.name.startswith(".")]
