"""The local folder of a model from the Hugging Face hub, downloaded if necessary."""

from __future__ import annotations

from pathlib import Path

from transfergrid.records.errors import BadInputError, first_line
from transfergrid.records.files.fingerprints import at_home
from transfergrid.records.tracking.network import hub_answers
from transfergrid.sources.files import model_folder

WELL_KNOWN = (
    "bert-base-uncased",
    "bert-base-cased",
    "bert-base-multilingual-cased",
    "distilbert-base-uncased",
    "roberta-base",
    "roberta-large",
    "xlm-roberta-base",
    "albert-base-v2",
    "google/electra-small-discriminator",
    "microsoft/mpnet-base",
    "microsoft/deberta-v3-small",
    "microsoft/deberta-v3-base",
    "answerdotai/ModernBERT-base",
    "sentence-transformers/all-MiniLM-L6-v2",
    "sentence-transformers/all-mpnet-base-v2",
    "gpt2",
    "distilgpt2",
    "google/vit-base-patch16-224",
    "facebook/deit-tiny-patch16-224",
    "facebook/dinov2-small",
    "facebook/convnext-tiny-224",
    "microsoft/swin-tiny-patch4-window7-224",
    "microsoft/resnet-18",
    "microsoft/resnet-50",
    "microsoft/beit-base-patch16-224",
)
"""Names with which a misspelt name is compared, in addition to those in the download cache."""


def folder_of(model: str, revision: str | None, with_weights: bool) -> Path:
    """Return the folder with a hub model's config, tokenizer and, if asked for, weights.

    Raises:
        BadInputError: there is no such model, or it cannot be fetched.
    """
    here = on_disk(model, revision, with_weights)
    if here is not None and (_is_described(here) or not hub_answers()):
        return here
    if at_home(model).is_dir():
        raise BadInputError(f"{model} is a folder: give source.folder={model} and no source.model")
    if not hub_answers():
        raise _none(model, "it is not on this disk and the hub cannot be reached")
    return _download(model, revision, with_weights)


def check(model: str, revision: str | None) -> None:
    """Raise the errors of `folder_of` that can be found without a download."""
    if on_disk(model, revision, with_weights=False) is None:
        if at_home(model).is_dir():
            raise BadInputError(f"{model} is a folder: give source.folder={model}")
        if not hub_answers():
            raise _none(model, "it is not on this disk and the hub cannot be reached")


def on_disk(model: str, revision: str | None, with_weights: bool = False) -> Path | None:
    """Return the folder in the download cache, if it contains all that is needed; else None."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, model_folder.CONFIG, revision=revision)
    except HFValidationError as error:
        raise _none(model, "that is no name of a model") from error
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    whole = model_folder.weight_files(folder) if with_weights else True
    return folder if whole else None


def _is_described(folder: Path) -> bool:
    """Return whether a folder contains a tokenizer or image preprocessing."""
    names = (model_folder.PREPROCESSOR, model_folder.PROCESSOR, *model_folder.VOCABULARIES)
    return any((folder / name).is_file() for name in names)


def _download(model: str, revision: str | None, with_weights: bool) -> Path:
    from huggingface_hub import snapshot_download

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))

    try:
        folder = fetch(*model_folder.DESCRIPTION)
        for patterns in model_folder.WEIGHT_PATTERNS if with_weights else ():
            if not model_folder.weight_files(folder):
                folder = fetch(*patterns)
    except Exception as error:  # from the hub's client: no such model, gated, connection lost, ...
        raise _none(model, first_line(error)) from error
    return folder


def _none(model: str, reason: str) -> BadInputError:
    hint = _near(model) or "."
    return BadInputError(
        f"cannot get {model}: {reason.rstrip('.')}{hint} Without a network give "
        "source.folder=PATH (with source.file=PATH for weights from elsewhere), or source=minilm"
    )


def _near(model: str) -> str:
    """Return a hint for a message with a similar known name; "" if there is none."""
    from difflib import get_close_matches

    known = {*WELL_KNOWN, *_cached_names()}
    if model in known:
        return ""
    plain = {name.rpartition("/")[2]: name for name in sorted(known)}
    near = get_close_matches(model, known, n=1, cutoff=0.8)
    near = near or [plain[name] for name in get_close_matches(model, plain, n=1, cutoff=0.8)]
    return f"; did you mean {near[0]}?" if near else ""


def _cached_names() -> list[str]:
    """Return the names of the models in the download cache."""
    from huggingface_hub import constants

    try:
        folders = [path.name for path in Path(constants.HF_HUB_CACHE).glob("models--*")]
    except OSError:
        return []
    return [folder.removeprefix("models--").replace("--", "/") for folder in folders]
