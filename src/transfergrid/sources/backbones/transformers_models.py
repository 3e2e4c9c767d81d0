"""Networks and tokenizers from a model's folder; code in the folder is never run."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.records.errors import BadInputError, as_line, did_you_mean
from transfergrid.sources.files import model_folder, state_dicts, weights

HEADS = ("pooler", "pooler_activation", "cls", "classifier", "lm_head", "score")
"""Modules of checkpoints that count as heads and may be left out."""
WAYS = {
    "size": "'source.architecture.options={{image_size: {}}}'",
    "channels": "'source.architecture.options={{num_channels: {}}}'",
}
"""For messages: the settings that change the size of images and the number of channels."""
ATTENTION = "eager"
"""Attention by the plain formula: the same numbers on every machine, forward and backward."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the library's messages and progress bars inside the context."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def read_config(folder: Path, options: Mapping[str, Any], name: str) -> Any:
    """Return a folder's config with `options` replaced; `name` is for messages.

    Raises:
        BadInputError: this version of transformers does not know the model or an option, or the
            values are inconsistent.
    """
    from transformers import CONFIG_MAPPING

    written = model_folder.read(folder)
    kind = written.pop("model_type")
    if kind.startswith("timm_"):  # its config could make timm open any file
        raise BadInputError(f"{name} wraps a model of timm: give source=timm and source.file=PATH")
    if kind not in CONFIG_MAPPING:
        near = did_you_mean(kind, CONFIG_MAPPING.keys())
        hint = near if "did you mean" in near else "; a newer version may know it"
        raise BadInputError(f"{name}: transformers has no model_type {kind!r}{hint}")
    cls = CONFIG_MAPPING[kind]
    names = getattr(cls, "attribute_map", {})
    chosen = {names.get(key, key): value for key, value in options.items()}
    values = {names.get(key, key): value for key, value in written.items()}
    try:
        plain = cls(**values)
        model_folder.check_options(chosen, plain.to_dict())
        config = cls(**_consistent({**values, **chosen}))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise _unfit(name, options, error) from error
    setattr(config, "dtype" if hasattr(config, "dtype") else "torch_dtype", torch.float32)
    config.use_cache = False  # the cache of keys and values; only text generation needs it
    if hasattr(config, "reference_compile"):
        config.reference_compile = False
    return config


def _consistent(values: dict[str, Any]) -> dict[str, Any]:
    """Shorten the list `layer_types`, one entry for each layer, to the number of layers."""
    layers, kinds = values.get("num_hidden_layers"), values.get("layer_types")
    if isinstance(layers, int) and isinstance(kinds, list) and len(kinds) > layers:
        values["layer_types"] = kinds[:layers]
    return values


def _unfit(name: str, options: Mapping[str, Any], error: Exception) -> BadInputError:
    given = ", ".join(f"{key}={value}" for key, value in options.items())
    reason = as_line(error)
    with_these = f" with {given}" if given else ""
    return BadInputError(f"transformers cannot make {name}{with_these}: {reason}")


def model_class(config: Any, main_input: str, name: str) -> Any:
    """Return the class of the model without a head; `name` is for messages.

    Raises:
        BadInputError: there is none, or its main input is not `main_input`.
    """
    from transformers import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING or config.is_encoder_decoder or _is_double(config):
        raise BadInputError(
            f"{name}: {config.model_type} is neither a plain encoder nor a plain decoder"
        )
    found = MODEL_MAPPING[type(config)]
    cls = found[0] if isinstance(found, (list, tuple)) else found
    if cls.main_input_name != main_input:
        kinds = {"input_ids": "text (source=transformers)", "pixel_values": "images"}
        kinds["pixel_values"] += " (source=transformers_vision)"
        takes = kinds.get(cls.main_input_name, cls.main_input_name)
        raise BadInputError(f"{name}: {config.model_type} takes {takes}")
    return cls


def _is_double(config: Any) -> bool:
    """Return whether a model consists of several, such as one for texts and one for images."""
    return len(getattr(config, "sub_configs", {})) > 1


def network(
    cls: Any,
    config: Any,
    files: list[str] | None,
    name: str,
    pooler: bool,
    part: tuple[str, ...] = ("",),
) -> tuple[nn.Module, dict[str, Any], dict[str, Tensor]]:
    """Return a model, notes for the record, and the head weights that were left out.

    Args:
        cls: the model's class.
        config: see `read_config`.
        files: weight files, all shards of one checkpoint; None for random weights.
        name: for messages.
        pooler: False leaves out a pooling layer, if the class allows it.
        part: prefixes of the names of this model's weights, where files hold several models.

    Raises:
        BadInputError: the config's values are inconsistent, or the weights do not fit.
    """
    if files is None:
        return _random(cls, config, name, pooler), {"weights_left_out": []}, {}
    return _pretrained(cls, config, files, name, pooler, part)


def _random(cls: Any, config: Any, name: str, pooler: bool) -> nn.Module:
    try:
        with quiet():
            made: nn.Module = cls._from_config(
                config,
                attn_implementation=ATTENTION,
                **_pooling(cls, pooler),
            )
    except (TypeError, ValueError, AssertionError, RuntimeError, ZeroDivisionError) as error:
        raise _unfit(name, {}, error) from error
    return made.float().train()


def blank_network(cls: Any, config: Any, name: str, pooler: bool) -> nn.Module:
    """Return a model on the meta device, without values, to inspect its parts; see `network`."""
    try:
        with torch.device("meta"):
            return _random(cls, config, name, pooler)
    except BadInputError:  # some older versions read values while building
        with torch.random.fork_rng(devices=[]):
            return _random(cls, config, name, pooler)


def _pretrained(
    cls: Any, config: Any, files: list[str], name: str, pooler: bool, part: tuple[str, ...]
) -> tuple[nn.Module, dict[str, Any], dict[str, Tensor]]:
    blank = blank_network(cls, config, name, pooler)
    prefix = f"{blank.base_model_prefix}."
    own = blank.state_dict().keys()
    given: dict[str, Tensor] = {}
    for file in files:
        given |= {key: value for key, value in weights.read(file).items() if key.startswith(part)}
    held, inner = given, {prefix + name for name in own}
    given = state_dicts.unwrapped(held, own, inner, {*own, *inner}, file=files[0])
    with quiet():
        made, report = cls.from_pretrained(
            None,
            config=config,
            state_dict=dict(given),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_check` reports them in one line
            attn_implementation=ATTENTION,
            **_pooling(cls, pooler),
        )
    complaint = f"{files[0]} does not fit {name}"
    notes: dict[str, Any] = _check(report, given, blank, complaint)
    head = {name: given[name] for name in notes["weights_left_out"]}
    notes["weights_left_out"] += state_dicts.beside(held, given)
    loaded = dict(made.named_parameters())
    state_dicts.check_finite(loaded, dict.fromkeys(loaded, torch.zeros(())), files[0])
    weights.tell_if_empty(loaded, files[0], notes)
    return made.float().train(), notes, head


def _check(
    report: Mapping[str, Any], given: Mapping[str, Tensor], blank: nn.Module, complaint: str
) -> dict[str, list[str]]:
    """Return notes: which given weights belong to a head, and which norms start fresh.

    Raise `BadInputError` unless all other weights were given and loaded.
    """
    prefix = f"{blank.base_model_prefix}."
    prefixed = any(name.startswith(prefix) for name in given)
    unknown = sorted(report["unexpected_keys"])
    heads = [
        name
        for name in unknown
        if (prefixed and not name.startswith(prefix))
        or name.removeprefix(prefix).partition(".")[0] in HEADS
    ]
    left = [name for name in unknown if name not in heads]
    theirs = {name.removeprefix(prefix): tuple(tensor.shape) for name, tensor in given.items()}
    rows = report["mismatched_keys"]  # names, in some versions with shapes
    names = sorted(row if isinstance(row, str) else row[0] for row in rows)
    other = [_both_shapes(name.removeprefix(prefix), prefix, given, blank) for name in names]
    missing = sorted(report["missing_keys"])
    fresh = [name for name in missing if _is_pooled_norm(name.removeprefix(prefix), blank)]
    lacking = [name for name in missing if name not in fresh]
    ours = {name: tuple(tensor.shape) for name, tensor in blank.state_dict().items()}
    shared = [name.removeprefix(prefix) for name in names]
    pairs = {n: (theirs[n], ours[n]) for n in shared if n in theirs and n in ours}
    side, channels = (getattr(blank.config, key, None) for key in ("image_size", "num_channels"))
    shape = (channels, side, side) if isinstance(channels, int) and isinstance(side, int) else None
    hint = state_dicts.shape_hint(pairs, shape, WAYS)
    weights.refuse(complaint, blank.state_dict(), lacking, left, other, hint)
    notes = {"weights_left_out": heads}
    return {**notes, "weights_missing": fresh} if fresh else notes


def _is_pooled_norm(name: str, blank: nn.Module) -> bool:
    """Return whether a weight belongs to a norm after pooling.

    Hardly any checkpoint except a classifier's contains it.
    """
    return name.startswith("pooler.") and blank.state_dict()[name].ndim == 1


def _both_shapes(name: str, prefix: str, given: Mapping[str, Tensor], blank: nn.Module) -> str:
    theirs, ours = given.get(name, given.get(prefix + name)), blank.state_dict().get(name)
    if theirs is None or ours is None:  # under another name in the file
        return name
    return f"{name} {tuple(theirs.shape)} for {tuple(ours.shape)}"


def _pooling(cls: Any, pooler: bool) -> dict[str, bool]:
    takes = "add_pooling_layer" in inspect.signature(cls.__init__).parameters
    return {"add_pooling_layer": pooler} if takes else {}


def load_tokenizer(folder: Path) -> Any:
    """Return a folder's tokenizer, if possible the fast one.

    Raises:
        BadInputError: it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # several libraries read files of many kinds
        reason = as_line(error, 200)
        raise BadInputError(f"{folder}: the tokenizer cannot be read: {reason}") from error
