"""Metadata of sources (origin, licence, training data), and which datasets contain which.

If a source was trained on a dataset that contains the target, a gain is no evidence of transfer to
new data. Metadata come only from libraries and from the user's card, never from prose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from transfergrid.records.errors import BadInputError, check_known

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain

ALIASES: dict[str, tuple[str, ...]] = {
    "ImageNet-1k": (
        *("imagenet", "in1k", "imagenet2012", "ilsvrc", "ilsvrc12", "ilsvrc2012"),
        *("imagenetilsvrc2012", "imagenet1kwds"),
    ),
    "ImageNet-21k": ("in21k", "in22k", "imagenet22k", "imagenet21kfall11", "imagenetfall11"),
    "ImageNet-21k-P": ("in21kp", "imagenet21kp"),
    "ImageNet-12k": ("in12k",),
    "ImageNet-100": ("in100",),
    "Imagenette": ("imagenette2", "imagenette160", "imagenette320", "imagenette2160"),
    "Imagewoof": ("imagewoof2", "imagewoof160", "imagewoof320", "imagewoof2160"),
    "Tiny ImageNet": ("tinyimagenet200",),
    "hymenoptera": ("hymenopteradata", "antsandbees"),
    "iNaturalist 2017": ("inat2017", "inat17"),
    "iNaturalist 2018": ("inat2018", "inat18"),
    "iNaturalist 2019": ("inat2019", "inat19"),
    "iNaturalist 2021": ("inat2021", "inat21"),
    "STL-10": (),
    "CIFAR-10": (),
    "CIFAR-100": (),
    "Tiny Images": ("80milliontinyimages",),
    "LAION-2B": ("laion2ben",),
    "LAION-400M": (),
    "YFCC100M": ("yfcc",),
    "JFT-300M": ("jft",),
    "IG-1B": ("ig1b",),
    "LVD-142M": (),
    "WebLI": (),
}
"""By displayed name of a dataset: its other spellings, in lower-case letters and digits."""

LIES_IN: dict[str, tuple[str, ...]] = {
    "hymenoptera": ("ImageNet-1k",),
    "Imagenette": ("ImageNet-1k",),
    "Imagewoof": ("ImageNet-1k",),
    "Tiny ImageNet": ("ImageNet-1k",),
    "ImageNet-100": ("ImageNet-1k",),
    "ImageNet-1k": ("ImageNet-21k",),
    "ImageNet-12k": ("ImageNet-21k",),
    "ImageNet-21k-P": ("ImageNet-21k",),
    "Stanford Dogs": ("ImageNet-21k",),
    "ImageNet-21k": ("LVD-142M",),  # DINOv2 included all of it
    "STL-10": ("ImageNet-21k",),
    "CIFAR-10": ("Tiny Images",),
    "CIFAR-100": ("Tiny Images",),
    **dict.fromkeys(("SST-2", "CoLA", "MRPC", "QQP", "STS-B", "MNLI", "QNLI", "RTE"), ("GLUE",)),
}
"""By dataset: larger datasets from which all its examples were taken. Only facts are listed; others
can be given by `target.part_of`."""


@dataclass(frozen=True)
class Card:
    """The metadata of a source.

    Attributes:
        origin: of its weights: an address, or a name in a library's index.
        licence: of the weights.
        trained_on: names of the datasets that it was trained on.
    """

    origin: str | None = None
    licence: str | None = None
    trained_on: tuple[str, ...] = ()

    @classmethod
    def read(cls, typed: Mapping[str, Any] | None) -> Card:
        """Return the card that a user typed, with datasets' names in their displayed spelling.

        Raises:
            BadInputError: a key is unknown, or a value is no text.
        """
        known = [field.name for field in fields(cls)]
        for key, value in (typed or {}).items():
            check_known("key of source.card", {"license": "licence"}.get(key, key), known)
            texts = listed(value) if key == "trained_on" else [value or ""]
            if not all(isinstance(text, str) for text in texts):
                raise BadInputError(f"source.card.{key} must be text, not {value!r}")
        values = {{"license": "licence"}.get(k, k): v for k, v in (typed or {}).items() if v}
        names = (dataset_name(name) for name in listed(values.pop("trained_on", ())))
        return cls(**values, trained_on=tuple(dict.fromkeys(names)))

    @property
    def is_full(self) -> bool:
        """Whether all fields are known."""
        return all(asdict(self).values())

    def over(self, told: Card) -> Card:
        """Return this card with its unknown fields filled from another card."""
        return Card(**{key: value or getattr(told, key) for key, value in asdict(self).items()})

    def plain(self) -> dict[str, Any]:
        """Return the known fields as JSON values."""
        known = {key: value for key, value in asdict(self).items() if value}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in known.items()}


def listed(value: Any) -> tuple[Any, ...]:
    """Return one name, or several, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


_SHOWN = {
    written: name for name, others in ALIASES.items() for written in (_letters(name), *others)
}
_SHOWN |= {_letters(name): name for name in LIES_IN}


def dataset_name(name: str) -> str:
    """Return a dataset's name in its displayed spelling; of a hub's OWNER/NAME, that of NAME.

    An unknown name is returned unchanged.
    """
    plain = name.strip()
    return _SHOWN.get(_letters(plain.rpartition("/")[2]), plain)


def known_names(text: str) -> tuple[str, ...]:
    """Return the datasets that a tag such as "augreg_in21k_ft_in1k" contains, in its order."""
    found = (_SHOWN.get(_letters(word)) for word in text.replace(".", "_").split("_"))
    return tuple(dict.fromkeys(name for name in found if name))


def holders(names: Iterable[str]) -> set[str]:
    """Return these datasets and all datasets that are known to contain one of them."""
    found: set[str] = set()
    waiting = [dataset_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(LIES_IN.get(name, ()))
    return found


def names_of(domain: Domain) -> tuple[str, ...]:
    """Return the names of a domain's dataset, from its fields `dataset` and `name`, if any.

    For several domains as one, return the names of each.
    """
    told = [getattr(one, key, None) for one in domain.each for key in ("dataset", "name")]
    found = (dataset_name(name) for name in told if isinstance(name, str) and name)
    return tuple(dict.fromkeys(found))


def shared(trained_on: Iterable[str], domain: Domain) -> tuple[str, ...]:
    """Return the datasets among `trained_on` that are known to contain the domain."""
    there = holders((*names_of(domain), *listed(domain.part_of)))
    return tuple(name for name in trained_on if dataset_name(name) in there)
