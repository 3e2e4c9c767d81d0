"""Every shipped source YAML composes, and says what its class says."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from transfergrid.records.factory import locate

CONF = Path(__file__).parents[2] / "conf"
NEEDED = {
    "timm": ["source.model=resnet18"],
    "torchvision": ["source.model=resnet18"],
    "own_network": [
        *("source.network=mine.net", "source.file=weights.pth", "source.size=32"),
        *("source.mean=[0.5]", "source.std=[0.5]"),
    ],
    "mlp": ["source.domain.file=rows.csv", "source.architecture.inputs=3"],
    "linear": ["source.domain.file=rows.csv", "source.architecture.inputs=3"],
    "ratings": ["source.domain.file=ratings.csv"],
    "checkpoint": ["source.model=resnet18", "source.file=weights.pth"],
}
NAMES = sorted(path.stem for path in (CONF / "source").glob("*.yaml"))


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose(None, list(overrides)), resolve=True)
    assert isinstance(config, dict)
    return config["source"]


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_the_constructors_arguments(name):
    source = composed(f"+source={name}", *NEEDED.get(name, []))
    cls = locate(source["_target_"])
    about = source["about"]
    arguments = source.keys() - {"_target_", "about", *about.get("shortcuts", [])}
    assert arguments == {field.name for field in dataclasses.fields(cls)}
    assert {key: about[key] for key in cls.about()} == cls.about()
    assert about["help"]
    assert "\n" not in about["help"]


def test_there_are_the_sources_that_are_documented():
    assert {"timm", "checkpoint", "trained_here", "placebo", "glyph_digits"} <= set(NAMES)


@pytest.mark.parametrize(
    "name", ["timm", "torchvision", "checkpoint", "trained_here", "glyph_letters"]
)
def test_the_short_key_sets_the_architecture(name):
    overrides = [*NEEDED.get(name, []), "source.model=vgg11"]
    assert composed(f"+source={name}", *overrides)["architecture"]["model"] == "vgg11"


def test_parts_can_be_chosen_from_their_groups():
    other = composed("+source=trained_here", "target@source.domain=digits")
    assert other["domain"]["_target_"].endswith("Digits")
    placebo = composed("+source=placebo", "source@source.of=glyph_letters")
    assert placebo["of"]["domain"]["characters"].startswith("ABC")


def test_planning_with_sources_imports_no_torch():
    modules = (
        "source",
        "cards",
        "timm",
        "torchvision",
        "checkpoint",
        "trained_here",
        "placebo",
        "files.weights",
    )
    imports = "; ".join(f"import transfergrid.sources.{module}" for module in modules)
    check = "import sys; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    subprocess.run([sys.executable, "-c", f"{imports}; {check}"], check=True)
