"""Weights in files: safetensors, or a state dict saved by torch. No other pickle is opened.

The format is detected from the contents; endings such as .ckpt, .th or .tar are ignored.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.printing import say
from transfergrid.sources.files import state_dicts

if TYPE_CHECKING:
    from torch import Tensor

    from transfergrid.sources.backbone import Backbone

OWN = " Your own? source=own_network, docs/own_network.md"
"""Ends messages about a name or weights of a network that no library has."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""Value of the first pickle in files of torch before 1.6."""
_TENSOR_MODULES = ("torch", "collections")
"""Top-level modules to which a pickled state dict may refer."""
_PLAIN = {
    *(("builtins", "set"), ("builtins", "complex"), ("builtins", "bytearray")),
    *(("__builtin__", "set"), ("__builtin__", "complex"), ("_codecs", "encode")),
}
"""Other names to which it may refer: plain values, which `weights_only=True` also allows."""


def check_file(file: str) -> None:
    """Check that a file may contain weights, without torch and without unpickling anything.

    Raises:
        BadInputError: it is missing, of another kind, damaged, or a pickle of more than tensors.
    """
    path = Path(file)
    if path.is_dir():
        raise BadInputError(f"{file} is a folder: give the file of weights in it")
    if not path.is_file():
        raise BadInputError(f"{file}: there is no such file")
    try:
        whole = _check_safetensors(path) if _is_safetensors(path) else _check_torch(path)
    except OSError as error:
        raise BadInputError(f"{file} cannot be read: {error.strerror or error}") from error
    if not whole:
        raise _damaged(file)


def read(file: str) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name, on the CPU.

    Raises:
        BadInputError: see `check_file`; or it contains no state dict.
    """
    check_file(file)
    found = _read_safetensors(file) if _is_safetensors(Path(file)) else _read_torch(file)
    return state_dicts.found_in(found, file)


def save(tensors: Mapping[str, Tensor], file: str | Path) -> None:
    """Write tensors as safetensors, atomically: readers see the old file or the new one."""
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
    """Load weights into a backbone's network; their names must match exactly.

    A classifier in the file is left out, and so are other parts of a larger network that contains
    this one; the backbone's `notes` record that.

    Raises:
        BadInputError: names or shapes differ, or some weights are NaN or infinite.
    """
    wanted = backbone.network.state_dict()
    taken = state_dicts.unwrapped(weights, wanted.keys(), file=file)
    given = _renamed(taken, backbone.former_names)
    heads = tuple(f"{name}." for name in backbone.head_names)
    left_out = sorted(key for key in given if key not in wanted and key.startswith(heads))
    backbone.head_weights = {name: given[name] for name in left_out}
    given = {k: v for k, v in given.items() if k not in left_out and k != "n_averaged"}
    _check_fit(wanted, given, f"{file} does not fit {backbone.architecture}", backbone)
    state_dicts.check_finite(given, wanted, file)
    backbone.network.load_state_dict(given, strict=False)  # old files lack batch counts
    backbone.notes["weights_left_out"] = left_out + state_dicts.beside(weights, taken)
    tell_if_empty(given, file, backbone.notes)


def tell_if_empty(given: Mapping[str, Tensor], file: str, notes: dict[str, Any]) -> None:
    """Warn, and add a note for the record, if each layer's weights are constant."""
    if state_dicts.is_empty(given):
        notes["weights_constant"] = True
        say(f"transfergrid: warning: {file}: each layer's weights are one number", flush=True)


def load(backbone: Backbone, file: str) -> Backbone:
    """Read a weight file into a backbone and return it; see `read` and `fit`."""
    fit(backbone, read(file), file)
    return backbone


def _check_fit(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], complaint: str, backbone: Backbone
) -> None:
    lacking = [k for k in wanted if k not in given and not state_dicts.is_count(k)]
    unknown = [k for k in given if k not in wanted]
    other = {
        k: (tuple(given[k].shape), tuple(wanted[k].shape))
        for k in given
        if k in wanted and given[k].shape != wanted[k].shape
    }
    shapes = [f"{k} {theirs} for {ours}" for k, (theirs, ours) in other.items()]
    hint = state_dicts.shape_hint(other, backbone.image_shape, backbone.ways)
    refuse(complaint, wanted, lacking, unknown, shapes, hint)


def refuse(
    complaint: str,
    wanted: Collection[str],
    missing: list[str],
    unexpected: list[str],
    other: list[str],
    hint: str = "",
) -> None:
    """Raise if weights do not match a network.

    Args:
        complaint: the message's beginning.
        wanted: all names in the network; if fewer than half of them match, the message says so.
        missing: names in the network that the file lacks.
        unexpected: names in the file that the network lacks.
        other: names, with both shapes, of tensors whose shapes differ.
        hint: a way out for the message, if one is known.

    Raises:
        BadInputError: any of the three lists is not empty; the message names the first of each.
    """
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": other}
    wrong = [
        f"{len(keys)} {kind} ({state_dicts.first(keys)})" for kind, keys in kinds.items() if keys
    ]
    if len(missing) + len(other) > len(wanted) / 2:
        complaint += ", and seems to be for another architecture"
    if wrong:
        foreign = len(missing) + len(other) > len(wanted) / 2 and not hint
        told = f"{hint}.{OWN}" if foreign else hint
        raise BadInputError(f"{complaint}: {', '.join(wrong)}{told}")


def _renamed(
    weights: Mapping[str, Tensor], former_names: Iterable[tuple[str, str]]
) -> dict[str, Tensor]:
    renamed = dict(weights)
    for pattern, now in former_names:
        renamed = {re.sub(pattern, now, name): tensor for name, tensor in renamed.items()}
    return renamed


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
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise _more_than_tensors(file, named[1] if named else "") from error
    except Exception as error:  # a damaged file may raise anything
        raise _damaged(file) from error


def _damaged(file: str | Path) -> BadInputError:
    return BadInputError(
        f"{file} is damaged, or holds no weights: neither safetensors nor what torch.save wrote"
    )


def _more_than_tensors(file: str | Path, what: str = "") -> BadInputError:
    named = f" ({what})" if what else ""
    return BadInputError(
        f"{file} is a pickle of more than tensors{named}; transfergrid unpickles nothing: save a "
        "state_dict or safetensors; of a file that you trust, with its classes at hand: "
        f"{state_dicts.kept_alone(str(file), 'state_dict', unpickle=True)}"
    )


def _is_safetensors(path: Path) -> bool:
    """Return whether a file is safetensors, judged by its first bytes: a length, then JSON."""
    try:
        with path.open("rb") as handle:
            head = handle.read(9)
    except OSError:
        return False
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < 2**40


def _check_safetensors(path: Path) -> bool:
    """Return whether the header (eight bytes of length, then JSON) matches the file's size."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= size - 8:
            return False
        try:
            header = contents.parsed(handle.read(length))
            ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
            return 8 + length + max(ends, default=0) == size
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False


def _check_torch(path: Path) -> bool:
    """Check all names to which the pickles in a file refer; opcodes are listed, not executed.

    Return whether it is a complete file of torch.
    """
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
    """Check a file of torch before 1.6: magic number, protocol, machine, objects, storage keys."""
    if _check_pickle(handle, path) != _LEGACY_MAGIC:
        raise _more_than_tensors(path)
    for _ in range(3):
        _check_pickle(handle, path)
    return True


def _check_pickle(handle: IO[bytes], path: Path) -> object:
    """Raise if a pickle refers to anything but tensors; return its first constant."""
    first: object = None
    for opcode, argument, _ in pickletools.genops(handle):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            if module.split(".")[0] not in _TENSOR_MODULES and (module, name) not in _PLAIN:
                raise _more_than_tensors(path, f"{module}.{name}")
        if first is None and opcode.name != "PROTO":
            first = argument
    return first
