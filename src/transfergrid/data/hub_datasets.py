"""Datasets in the formats of the Hugging Face library, from the hub or from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError, as_line
from transfergrid.records.files.fingerprints import existing
from transfergrid.records.tracking.network import hub_answers

SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes into a folder: for several splits, for one split."""


def read_splits(
    dataset: str | None, folder: str | None, config: str | None, revision: str | None
) -> dict[str, Any]:
    """Return a dataset's splits by name; downloads are cached.

    A dataset's own code is never run: the library `datasets` cannot do so since version 4.

    Args:
        dataset: a dataset's name on the hub.
        folder: a folder instead: written by `save_to_disk`, or with Parquet, CSV, JSON or images.
        config: the name of one of the dataset's configurations.
        revision: a branch, tag or commit on the hub.

    Raises:
        BadInputError: there is no such dataset, it cannot be fetched, or the library is missing.
    """
    library = _library()
    if (dataset is None) == (folder is None):
        raise BadInputError("give target.dataset=OWNER/NAME of the hub, or target.folder=PATH")
    spelled = dataset or str(folder)
    try:
        if folder is not None:
            found = _in_folder(library, existing(folder), config)
        else:
            with _offline(library, not hub_answers()):
                found = library.load_dataset(dataset, config, revision=revision)
    except BadInputError:
        raise
    except Exception as error:  # the library and its readers raise nearly anything
        raise _refused(spelled, error, is_local=folder is not None) from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        told = "datasets of Hugging Face are read by a library that is not installed"
        raise BadInputError(f"{told}: pip install 'transfergrid[huggingface]'") from error
    datasets.disable_progress_bars()
    return datasets


def _in_folder(library: Any, root: Path, config: str | None) -> Any:
    if any((root / name).is_file() for name in SAVED):
        return library.load_from_disk(str(root))
    return library.load_dataset(str(root), config)


@contextmanager
def _offline(library: Any, is_offline: bool) -> Iterator[None]:
    """Make the library use only its cache on disk inside the context, if `is_offline`."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, library.config.HF_HUB_OFFLINE
    try:
        if is_offline:
            constants.HF_HUB_OFFLINE = library.config.HF_HUB_OFFLINE = True
        yield
    finally:
        constants.HF_HUB_OFFLINE, library.config.HF_HUB_OFFLINE = before


def _refused(spelled: str, error: Exception, is_local: bool) -> BadInputError:
    reason = as_line(error)
    if is_local:
        return BadInputError(f"{spelled} cannot be read as a dataset: {reason}")
    if isinstance(error, ConnectionError):
        return BadInputError(
            f"{spelled} is not on this disk and the hub cannot be reached: give target.folder=PATH "
            "of a saved copy, or its files as target=text_table or target=image_table"
        )
    return BadInputError(f"dataset {spelled} of the hub: {reason}")
