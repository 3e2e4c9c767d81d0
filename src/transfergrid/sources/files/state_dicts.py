"""Finding and checking a network's weights among the tensors that a training program saved."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from transfergrid.records.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor

KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Keys under which training programs store the state dict in a larger dict, by preference."""
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
"""Keys under which they store a running mean of the weights."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "backbone.", "net.")
"""Prefixes of all names that come from wrapping a network."""
_INSIDE = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts of names that come from compiling, sharding and activation checkpointing."""
_COUNTS = ("num_batches_tracked", "n_averaged")
"""Endings of names of tensors that count steps, which other versions and programs leave out."""
_DEEPEST = 4


def found_in(contents: Any, file: str) -> dict[str, Tensor]:
    """Return the state dict in a file's contents: the contents themselves, or nested in a dict.

    Raises:
        BadInputError: there is none, or there are several and no key says which one to take.
    """
    from torch import Tensor

    held = _innermost(contents, file)
    held = {k: v for k, v in held.items() if not str(k).endswith("_extra_state")}
    if not held:
        raise BadInputError(f"{file} holds no state dict")
    odd = [str(key) for key, value in held.items() if not isinstance(value, Tensor)]
    if odd:
        raise BadInputError(f"{file} holds no state dict: not tensors are {first(odd)}")
    return {str(key): value for key, value in held.items()}


def _innermost(contents: Any, file: str) -> Mapping[Any, Any]:
    for _ in range(_DEEPEST):
        if not isinstance(contents, Mapping) or _is_state(contents):
            break
        inner = {key: value for key, value in contents.items() if isinstance(value, Mapping)}
        named = [key for key in (*KEYS, *AVERAGED) if key in inner]
        states = [key for key, value in inner.items() if _is_state(value)]
        if not named and len(states) > 1:
            raise BadInputError(
                f"{file} holds several state dicts ({first([str(key) for key in states])}): "
                f"keep one: {kept_alone(file, str(states[0]))}"
            )
        if not named and not states:
            break
        contents = inner[named[0] if named else states[0]]
    return contents if isinstance(contents, Mapping) else {}


def _is_state(value: Any) -> bool:
    from torch import Tensor

    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def kept_alone(file: str, key: str, unpickle: bool = False) -> str:
    """Return a shell command that saves one state dict of a file to a separate file."""
    trust = ", weights_only=False" if unpickle else ""
    load = f"torch.load('{file}', map_location='cpu'{trust})['{key}']"
    return f"""python -c "import torch; torch.save({load}, 'weights.pt')\""""


def unwrapped(
    weights: Mapping[str, Tensor], *wanted: Collection[str], file: str = "the file"
) -> dict[str, Tensor]:
    """Return weights with prefixes removed, so that they have a network's own names.

    If some names match already, they stay as they are. If all names of the network exist with the
    same prefix, that prefix is removed, and other tensors (such as those of a loss or a projection
    in a Lightning checkpoint) are left out. Otherwise prefixes of `WRAPPERS` are removed.

    Args:
        weights: of a file.
        wanted: the network's names; further arguments are alternative names of the same.
        file: for the message.

    Raises:
        BadInputError: several prefixes fit.
    """
    names = {name for group in wanted for name in group}
    given = {name if name in names else _INSIDE.sub("", name): v for name, v in weights.items()}
    if names & given.keys():
        return given
    for group in wanted:
        prefix = _prefix(given, group, file)
        if prefix:
            return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
    while given and not names & given.keys():
        for wrapper in WRAPPERS:
            if all(key.startswith(wrapper) or key in _COUNTS for key in given):
                given = {key.removeprefix(wrapper): value for key, value in given.items()}
                break
        else:
            break
    return given


def _prefix(given: Mapping[str, Any], wanted: Collection[str], file: str) -> str:
    """Return the prefix with which all wanted names exist in the file; "" if there is none.

    Of several prefixes, one in `WRAPPERS` is taken: the others are of a running mean, a teacher or
    a second network.
    """
    needed = [name for name in wanted if not name.endswith(_COUNTS)]
    if not needed:
        return ""
    ending = f".{needed[0]}"
    before = [name[: -len(needed[0])] for name in given if name.endswith(ending)]
    whole = [prefix for prefix in before if all(prefix + name in given for name in needed)]
    usual = [prefix for prefix in whole if prefix in WRAPPERS]
    if len(whole) > 1 and len(usual) != 1:
        raise BadInputError(
            f"{file} holds several sets of weights that fit (under {first(sorted(whole))}): save "
            "one of them alone, as docs/own_network.md shows"
        )
    return (usual or whole or [""])[0]


def beside(weights: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that `unwrapped` left out."""
    kept = {id(tensor) for tensor in taken.values()}
    left = (name for name, tensor in weights.items() if id(tensor) not in kept)
    return sorted(name for name in left if not name.endswith(_COUNTS))


def is_count(name: str) -> bool:
    """Return whether a tensor counts steps, judged by its name, and so may be missing."""
    return name.endswith(_COUNTS)


def check_finite(given: Mapping[str, Tensor], fresh: Mapping[str, Tensor], file: str) -> None:
    """Raise unless all weights are finite.

    Args:
        given: a file's weights by the network's names.
        fresh: the network's initial tensors; where these are infinite, such as in masks, the
            file's may be too.
        file: for the message.

    Raises:
        BadInputError: some are NaN or infinite.
    """
    bad = [name for name, tensor in given.items() if not _is_finite(tensor)]
    bad = [name for name in bad if name in fresh and _is_finite(fresh[name])]
    if bad:
        raise BadInputError(
            f"{file}: {len(bad)} of {len(given)} tensors hold NaN or infinity ({first(bad)}): "
            "its training diverged; take an earlier checkpoint"
        )


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all()) if tensor.is_floating_point() else True


def is_empty(given: Mapping[str, Tensor]) -> bool:
    """Return whether every matrix and kernel is constant, so that nothing was learned."""
    layers = [tensor for tensor in given.values() if tensor.ndim >= 2 and tensor.numel() > 1]
    return bool(layers) and all(bool((t == t.reshape(-1)[0]).all()) for t in layers)


def shape_hint(
    other: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    image_shape: tuple[int, ...] | None,
    ways: Mapping[str, str],
) -> str:
    """Return a hint for a message if shapes indicate another image size or number of channels.

    Args:
        other: by name, the file's and the network's shape, for tensors whose shapes differ.
        image_shape: channels, height and width of the network's inputs; None if these are texts.
        ways: the settings for "size" and "channels", with `{}` in place of the number.
    """
    if image_shape is None:
        return ""
    channels, size = image_shape[0], image_shape[-1]
    found: dict[str, int | None] = {}
    for theirs, ours in other.values():
        if len(theirs) == len(ours) == 4 and _differ_at(theirs, ours, 1) and ours[1] == channels:
            found.setdefault("channels", theirs[1])
    guesses = [_pixels(theirs, ours, size) for theirs, ours in other.values()]
    told = next((guess for guess in guesses if guess is not None), None)
    if told is not None:
        found["size"] = told
    elif other and not found and all(_is_flattened(*pair) for pair in other.values()):
        found["size"] = None
    hints = [_way(kind, number, ways) for kind, number in found.items()]
    return "".join(f"; {hint}" for hint in hints if hint)


def _way(kind: str, number: int | None, ways: Mapping[str, str]) -> str:
    words = {"channels": "images of {} channels", "size": "images of {} pixels"}
    made = words[kind].format("another number of" if number is None else number)
    way = ways.get(kind)
    shown = "PIXELS" if number is None else number
    return f"the file is for {made}" + (f": {way.format(shown)}" if way else "")


def _differ_at(one: tuple[int, ...], other: tuple[int, ...], axis: int) -> bool:
    return [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b] == [axis]


def _is_flattened(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    """Return whether shapes are those of dense layers whose numbers of inputs differ.

    A layer on a flattened feature map differs so if the image size differs.
    """
    return len(theirs) == len(ours) == 2 and theirs[0] == ours[0]


def _pixels(theirs: tuple[int, ...], ours: tuple[int, ...], size: int) -> int | None:
    """Return the image size of position embeddings (..., n, dim); None if these are no such."""
    if not 2 <= len(theirs) == len(ours) <= 3:
        return None
    axis = len(ours) - 2
    if not _differ_at(theirs, ours, axis):
        return None
    for extra in (0, 1, 2, 4, 5, 8):  # class, distillation and register tokens
        sides = [_root(shape[axis] - extra) for shape in (theirs, ours)]
        if sides[0] and sides[1] and size % sides[1] == 0:
            return sides[0] * size // sides[1]
    return None


def _root(number: int) -> int | None:
    side = round(max(number, 0) ** 0.5)
    return side if side > 0 and side * side == number else None


def first(names: list[str], shown: int = 3) -> str:
    """Return the first `shown` names as text, separated by commas."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
