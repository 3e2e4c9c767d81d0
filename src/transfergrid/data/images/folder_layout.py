"""Which folders of a dataset of images are its training, validation and test splits."""

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
"""The split that each word in a folder's name stands for."""
_FILLERS = (
    *("dataset", "data", "sets", "set", "splits", "split", "images", "image", "imgs", "img"),
    *("pictures", "photos", "samples", "folder", "seg"),
)
"""Words in folders' names that carry no information."""
_ANSWERS = ("mask", "masks", "label", "labels", "annotation", "annotations", "csv", "metadata")
"""Names of folders with labels or other data that belong to images."""


@dataclass(frozen=True)
class Layout:
    """The folders that hold the class folders of each split; "" is the root itself."""

    pool: tuple[str, ...]
    test: tuple[str, ...]
    fraction: float | None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Role:
    """The meaning of a folder's name: a split, and the dataset it belongs to ("" if not named)."""

    split: str
    of: str


def role_of(name: str) -> Role | None:
    """Parse a folder's name: `Training_Set`, `seg_train`, `testset`, `flowers-val`, ...

    A folder that names a dataset, such as `flowers-val`, counts as a split only if there are other
    splits of the same dataset. None if the name contains no split, or several.
    """
    words = [_unglued(word) for word in re.findall(r"[^\W\d_]+|\d+", name.lower())]
    splits = [_WORDS[word] for word in words if word in _WORDS]
    rest = [word for word in words if word not in _WORDS and word not in _FILLERS]
    return Role(splits[0], " ".join(rest)) if len(splits) == 1 else None


def _unglued(word: str) -> str:
    """Return the split's word inside a compound such as `trainset`, or the word itself."""
    ends = [word.removesuffix(filler) for filler in _FILLERS]
    return next((end for end in ends if end in _WORDS), word)


def find_layout(spelled: str, root: Path, test_split: float | str | None) -> Layout:
    """Find the splits' folders below a root that contains folders.

    `train` is a split only if its folders look like classes; otherwise it may be a class, a
    vehicle. A folder is replaced by its only subfolder if that has the same name (as after
    unpacking archives), or a name such as data or images.

    Raises:
        BadInputError: there is no test split, or two ways to get one, or nothing to train on, or
            the roles of the folders are unclear.
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
    """Return a folder, or its only subfolder if that has the same or an uninformative name."""
    inner = folders(root, split)
    if len(inner) != 1 or _images_in(root / split):
        return split
    within = _below(split, inner[0])
    says_nothing = inner[0] == name or inner[0].lower() in _FILLERS
    return _unwrapped(root, within, name) if says_nothing and folders(root, within) else split


def _one_family(spelled: str, root: Path, found: Mapping[str, str]) -> dict[str, Role]:
    """Return the folders that are the splits of one dataset; empty if there is no train split.

    Raises:
        BadInputError: there are several such datasets.
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
    """Return whether folders are the splits of one dataset.

    One must be a train split that holds classes; if the dataset is named, there must be another
    split too.
    """
    splits = {role.split for role in members.values()}
    if "train" not in splits or (len(splits) < 2 and any(role.of for role in members.values())):
        return False
    return any(
        _holds_classes(root, found, name) for name, role in members.items() if role.split == "train"
    )


def _holds_classes(root: Path, found: Mapping[str, str], name: str) -> bool:
    """Return whether the subfolders of a folder named train are classes.

    If there are images beside them, the folder itself is a class (a vehicle), unless another split
    has subfolders of the same names, or all other folders are named like splits.
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
    """Raise if the folders' names are those of splits, or of images and their labels.

    Raises:
        BadInputError: the folders are no classes, and contain none either.
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
    """Raise if the folders look like splits with other names, or like classes that contain splits.

    Raises:
        BadInputError: all have the same subfolders, and no images beside these.
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
    """Return the layout of class folders directly below the root, with a share to test on."""
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
    """Return the names of the image files directly in a folder."""
    return [e.name for e in folder.iterdir() if is_image(e.name) and not e.name.startswith(".")]
