"""Weights in files: safetensors, or a state dict that torch saved. No other pickle is opened."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from transfergrid.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor

    from transfergrid.sources.backbone import Backbone

SAFETENSORS = ".safetensors"
TORCH_SUFFIXES = (".pth", ".pt", ".bin")
SUFFIXES = (SAFETENSORS, *TORCH_SUFFIXES)

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")
"""Under which training programs keep the state dict in a larger dict."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "backbone.")
"""What wrapping a network puts before all of its names."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle in files of torch before 1.6."""
_TENSOR_MODULES = ("torch", "collections")
"""Top modules of all that a pickled state dict refers to."""
_SHOWN = 3


def check_file(file: str) -> None:
    """Look whether a file may hold weights, without torch and without unpickling anything.

    Raises:
        BadInputError: it is missing, of another kind, damaged, or a pickle of more than tensors.
    """
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise BadInputError(f"{file}: weights must be in a file that ends in {_or(SUFFIXES)}")
    if not path.is_file():
        raise BadInputError(f"{file}: there is no such file")
    try:
        whole = _check_safetensors(path) if path.suffix == SAFETENSORS else _check_torch(path)
    except OSError as error:
        raise BadInputError(f"{file} cannot be read: {error.strerror or error}") from error
    if not whole:
        raise _damaged(file)


def read(file: str) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name, on the CPU.

    Raises:
        BadInputError: see `check_file`; or it holds no state dict.
    """
    check_file(file)
    found = _read_safetensors(file) if file.endswith(SAFETENSORS) else _read_torch(file)
    return _state_dict(found, file)


def save(tensors: Mapping[str, Tensor], file: str | Path) -> None:
    """Write tensors as safetensors; whoever reads meanwhile sees the old file or the new one."""
    from safetensors.torch import save_file

    path = Path(file)
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(own, temporary)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def fit(backbone: Backbone, weights: Mapping[str, Tensor], file: str) -> None:
    """Load weights into a backbone's network, all of them and nothing else.

    A classifier that the file brings along is left out, which the backbone's `notes` then say.

    Raises:
        BadInputError: names or shapes differ.
    """
    wanted = backbone.network.state_dict()
    given = _renamed(unwrapped(weights, wanted.keys()), backbone.former_names)
    heads = tuple(f"{name}." for name in backbone.head_names)
    left_out = sorted(key for key in given if key not in wanted and key.startswith(heads))
    given = {key: value for key, value in given.items() if key not in left_out}
    _check_fit(wanted, given, f"{file} does not fit {backbone.architecture}")
    backbone.network.load_state_dict(given, strict=False)  # an old file lacks batch counts
    backbone.notes["weights_left_out"] = left_out


def load(backbone: Backbone, file: str) -> Backbone:
    """Read a weight file into a backbone and return it; see `read` and `fit`."""
    fit(backbone, read(file), file)
    return backbone


def _check_fit(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], complaint: str) -> None:
    lacking = [k for k in wanted if k not in given and not k.endswith("num_batches_tracked")]
    unknown = [k for k in given if k not in wanted]
    other = [
        f"{k} {tuple(given[k].shape)} for {tuple(wanted[k].shape)}"
        for k in given
        if k in wanted and given[k].shape != wanted[k].shape
    ]
    refuse(complaint, wanted, lacking, unknown, other)


def refuse(
    complaint: str,
    wanted: Collection[str],
    missing: list[str],
    unexpected: list[str],
    other: list[str],
) -> None:
    """Raise unless there is nothing to complain of.

    Args:
        complaint: the message's beginning.
        wanted: all names that a network has; if fewer than half of them fit, that is said too.
        missing: names that a network has and a file lacks.
        unexpected: names the other way round.
        other: names, with both shapes, of tensors whose shapes differ.

    Raises:
        BadInputError: with the first names of each kind.
    """
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": other}
    wrong = [f"{len(keys)} {kind} ({_first(keys)})" for kind, keys in kinds.items() if keys]
    if len(missing) + len(other) > len(wanted) / 2:
        complaint += ", and seems to be for another architecture"
    if wrong:
        raise BadInputError(f"{complaint}: {', '.join(wrong)}")


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _or(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}"


def unwrapped(weights: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Return weights without what wrappers put before all names, as far as that is needed."""
    given, names = dict(weights), set(wanted)
    while given and not names & given.keys():
        for wrapper in WRAPPERS:
            if all(key.startswith(wrapper) for key in given):
                given = {key.removeprefix(wrapper): value for key, value in given.items()}
                break
        else:
            break
    return given


def _renamed(
    weights: Mapping[str, Tensor], former_names: Iterable[tuple[str, str]]
) -> dict[str, Tensor]:
    renamed = dict(weights)
    for pattern, now in former_names:
        renamed = {re.sub(pattern, now, name): tensor for name, tensor in renamed.items()}
    return renamed


def _state_dict(found: Any, file: str) -> dict[str, Tensor]:
    from torch import Tensor

    for key in STATE_DICT_KEYS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise BadInputError(f"{file} holds no state dict")
    odd = [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise BadInputError(f"{file} holds no state dict: not tensors are {_first(odd)}")
    return {str(key): value for key, value in found.items()}


def _read_safetensors(file: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise _damaged(file) from error


def _read_torch(file: str) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _more_than_tensors(file) from error
    except Exception as error:  # a damaged file may raise anything
        raise _damaged(file) from error


def _damaged(file: str | Path) -> BadInputError:
    return BadInputError(f"{file} is damaged, or not what its ending says")


def _more_than_tensors(file: str | Path) -> BadInputError:
    return BadInputError(
        f"{file} is a pickle of more than tensors; transfergrid unpickles nothing: "
        "save a state_dict or safetensors"
    )


def _check_safetensors(path: Path) -> bool:
    """Read the header: eight bytes of length, then JSON with each tensor's place."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= size - 8:
            return False
        try:
            header = json.loads(handle.read(length))
            ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
            return 8 + length + max(ends, default=0) == size
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False


def _check_torch(path: Path) -> bool:
    """Look at what the pickles in a file refer to; the opcodes are listed, not executed."""
    try:
        if zipfile.is_zipfile(path):
            return _check_zip(path)
        with path.open("rb") as handle:
            return _check_legacy(handle, path)
    except (ValueError, KeyError, IndexError, UnicodeDecodeError, zipfile.BadZipFile):
        return False


def _check_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
        for name in inner:
            with archive.open(name) as handle:
                _check_pickle(handle, path)
        return bool(inner)


def _check_legacy(handle: IO[bytes], path: Path) -> bool:
    """Files of torch before 1.6: magic number, protocol, machine, objects, storage keys."""
    if _check_pickle(handle, path) != _LEGACY_MAGIC:
        raise _more_than_tensors(path)
    for _ in range(3):
        _check_pickle(handle, path)
    return True


def _check_pickle(handle: IO[bytes], path: Path) -> object:
    """Refuse one pickle that refers to anything but tensors; return its first constant."""
    first: object = None
    for opcode, argument, _ in pickletools.genops(handle):
        module = str(argument).split()[0] if opcode.name == "GLOBAL" else _TENSOR_MODULES[0]
        if module.split(".")[0] not in _TENSOR_MODULES:
            raise _more_than_tensors(path)
        if first is None and opcode.name != "PROTO":
            first = argument
    return first
