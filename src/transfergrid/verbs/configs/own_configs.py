"""Folders with a user's own configs: their files win over shipped ones of the same name.

Hydra appends `--config-dir` and `hydra.searchpath` after the program's own folder, so a file with a
shipped name would never be read. Here they are put first: a search path plugin asks for `folders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import at_home
from transfergrid.verbs.configs.keys import GROUPS

FOLDERS = (*GROUPS, "trainer", "tracking", "study", "score", "hydra")
OPTIONS = ("--config-dir", "-cd")
PLACES = "hydra.searchpath"
WHOLE = ("config.yaml", "config.yml")
_in_use: list[Path] = []


def folders() -> list[Path]:
    """Return the user's folders for the next composition, the one with precedence first."""
    return list(_in_use)


def use(words: Sequence[str]) -> list[str]:
    """Set the user's folders, replacing earlier ones, and return the words that do not name any.

    Raises:
        BadInputError: a folder does not exist, or contains files that would not be read.
    """
    rest, found = _sorted_out(words)
    for folder in found:
        check_folder(folder)
    _in_use[:] = found
    return rest


def _sorted_out(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return the other words, and the folders on disk; packages are left to Hydra."""
    rest: list[str] = []
    named: list[str] = []
    left = iter(words)
    for word in left:
        key, equals, value = word.partition("=")
        if key in OPTIONS:
            value = value if equals else next(left, "")
            if not value:
                raise BadInputError(f"{key}: give the folder with your configs")
            named.append(value)
        elif key == PLACES and (places := _listed(word)) is not None:
            named += [place for place in places if not place.startswith("pkg://")]
            packages = [place for place in places if place.startswith("pkg://")]
            rest += [f"{PLACES}=[{','.join(packages)}]"] if packages else []
        else:
            rest.append(word)
    plain = [place.removeprefix("file://") for place in named]
    return rest, [at_home(place).absolute() for place in plain]


def _listed(word: str) -> list[str] | None:
    """Return the entries of a search path; None if invalid, which Hydra reports."""
    try:
        value = OverridesParser.create().parse_override(word).value()
    except HydraException:
        return None
    is_list = isinstance(value, list) and all(isinstance(place, str) for place in value)
    return [str(place) for place in value] if is_list else None  # type: ignore[union-attr]


def check_folder(folder: Path) -> None:
    """Raise unless a folder has its configs where they are looked for.

    Raises:
        BadInputError: it does not exist, or some of its files would never be read.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "there is no such folder"
        raise BadInputError(f"--config-dir {folder}: {what}")
    for own in [folder / name for name in WHOLE if (folder / name).exists()]:
        raise BadInputError(
            f"{own} would replace all of transfergrid's settings: "
            "make it study/NAME.yaml (with '# @package _global_' on top) and ask for study=NAME"
        )
    _check_lies_here(folder)
    for place in sorted(folder.iterdir()):
        near = get_close_matches(place.name, FOLDERS, n=1, cutoff=0.75)
        if place.is_dir() and place.name not in FOLDERS and near and any(place.glob("*.y*ml")):
            raise BadInputError(f"{place} is not read: the folder must be called {near[0]}")
    for name in FOLDERS:
        for file in sorted((folder / name).glob("**/*.[yY]*[mM][lL]")):
            if file.suffix != ".yaml":
                raise BadInputError(f"{file} is not read: its name must end in .yaml")
            _check_holds_keys(file)


def _check_lies_here(folder: Path) -> None:
    """Raise `BadInputError` if all config groups lie one folder deeper than the given folder."""
    if any((folder / name).is_dir() for name in FOLDERS):
        return
    for name in FOLDERS:
        for group in sorted(folder.glob(f"*/{name}")):
            if any(group.glob("*.yaml")):
                raise BadInputError(
                    f"{folder} has no {name}/ itself: give --config-dir {group.parent}"
                )


def _check_holds_keys(file: Path) -> None:
    """Raise `BadInputError` unless a file contains a mapping; broken YAML is left to Hydra."""
    try:
        node = yaml.compose(file.read_bytes(), Loader=yaml.SafeLoader)
        loops = _holds_itself(node, {})
    except RecursionError:
        raise BadInputError(f"{file} is nested too deep") from None
    except yaml.YAMLError:
        return  # Hydra reports its place
    if loops:
        raise BadInputError(f"{file} is broken YAML: an anchor holds itself")
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise BadInputError(f"{file} holds no keys: write KEY: VALUE in each line")


def _holds_itself(node: yaml.Node | None, met: dict[int, bool]) -> bool:
    """Return whether a node contains itself.

    Args:
        node: the node to search.
        met: by id of each visited node, whether the search is still inside it.
    """
    if not isinstance(node, yaml.CollectionNode):
        return False
    if id(node) in met:
        return met[id(node)]
    met[id(node)] = True
    below = [one for item in node.value for one in (item if isinstance(item, tuple) else (item,))]
    loops = any(_holds_itself(one, met) for one in below)
    met[id(node)] = False
    return loops


def standing_in(shipped: Path) -> list[Path]:
    """Return the user's files that replace shipped ones."""
    files = [(file, folder) for folder in _in_use for file in sorted(folder.glob("**/*.yaml"))]
    return [file for file, folder in files if (shipped / file.relative_to(folder)).is_file()]
