"""Which of torchvision's datasets can be targets, and how each names its splits and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Known:
    """A dataset of torchvision.

    Attributes:
        pool: constructor arguments, one entry for each part that joins the pool.
        test: constructor arguments of the test part; None where torchvision has only one part.
        files: its files and folders below the root.
        classes: the classes' names, if torchvision has none, or has other names than other
            datasets with the same classes.
    """

    pool: tuple[Mapping[str, Any], ...]
    test: Mapping[str, Any] | None
    files: tuple[str, ...]
    classes: tuple[str, ...] | None = None


def _by_flag(*files: str, classes: tuple[str, ...] | None = None) -> Known:
    return Known(({"train": True},), {"train": False}, files, classes)


def _by_name(
    pool: str, test: str, *files: str, key: str = "split", classes: tuple[str, ...] | None = None
) -> Known:
    return Known(tuple({key: name} for name in pool.split()), {key: test}, files, classes)


def _whole(*files: str, classes: tuple[str, ...] | None = None) -> Known:
    return Known(({},), None, files, classes)


KNOWN: dict[str, Known] = {
    "CIFAR10": _by_flag("cifar-10-batches-py"),
    "CIFAR100": _by_flag("cifar-100-python"),
    "CLEVRClassification": _by_name("train", "val", "clevr"),  # its test part has no labels
    "Caltech101": _whole("caltech101"),
    "Caltech256": _whole("caltech256"),
    "Country211": _by_name("train valid", "test", "country211"),
    "DTD": _by_name("train val", "test", "dtd"),
    "EMNIST": _by_flag("EMNIST/raw"),  # its own `split` says which characters
    "EuroSAT": _whole("eurosat"),
    "FER2013": _by_name("train", "test", "fer2013"),
    "FGVCAircraft": _by_name("train val", "test", "fgvc-aircraft-2013b"),
    "FashionMNIST": _by_flag("FashionMNIST/raw"),
    "Flowers102": _by_name("train val", "test", "flowers-102"),
    "Food101": _by_name("train", "test", "food-101"),
    "GTSRB": _by_name("train", "test", "gtsrb"),
    "Imagenette": _by_name("train", "val", "imagenette2", "imagenette2-320", "imagenette2-160"),
    "KMNIST": _by_flag("KMNIST/raw"),
    "MNIST": _by_flag("MNIST/raw", classes=DIGITS),
    "OxfordIIITPet": _by_name("trainval", "test", "oxford-iiit-pet"),
    "PCAM": _by_name("train val", "test", "pcam", classes=("normal", "tumour")),
    "QMNIST": _by_name("train", "test", "QMNIST/raw", key="what", classes=DIGITS),
    "RenderedSST2": _by_name("train val", "test", "rendered-sst2"),
    "SEMEION": _whole("semeion.data", classes=DIGITS),
    "STL10": _by_name("train", "test", "stl10_binary"),
    "SUN397": _whole("SUN397"),
    "SVHN": _by_name("train", "test", "train_32x32.mat", "test_32x32.mat", classes=DIGITS),
    "StanfordCars": _by_name("train", "test", "stanford_cars"),
    "USPS": _by_flag("usps.bz2", "usps.t.bz2", classes=DIGITS),
}

LABELS = ("targets", "labels", "_labels", "y", "_samples", "samples")
"""Attributes in which torchvision's datasets keep their labels, alone or beside each image."""
SIZES = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}
PACKED = (".gz", ".tgz", ".zip", ".tar")
"""Endings of archives, which may or may not remain beside the unpacked files."""


def files_of(dataset: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files and folders of a dataset under these options."""
    if dataset == "Imagenette":
        return (SIZES.get(options.get("size", "full"), SIZES["full"]),)
    return KNOWN[dataset].files
