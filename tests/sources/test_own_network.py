"""A foreign network comes in by the one command of docs/own_network.md, and errors show the way."""

import dataclasses
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import composed
from composed import planned
from transfergrid.records import trust
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Status
from transfergrid.runs.cell import run_cell
from transfergrid.runs.checking import check_parts
from transfergrid.runs.machine import Machine

PAGE = (Path(__file__).parents[2] / "docs" / "own_network.md").read_text(encoding="utf-8")
RESNET20 = """\
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.more = stride, outside - inside

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(x + y)


class ResNet(nn.Module):
    def __init__(self, depth, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inside = 16
        for i, width in enumerate([16, 32, 64], 1):
            strides = [1 if width == inside else 2] + [1] * ((depth - 2) // 6 - 1)
            blocks = []
            for stride in strides:
                blocks.append(Block(inside, width, stride))
                inside = width
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.avg_pool2d(x, x.size()[3])
        return self.linear(x.view(x.size(0), -1))


def resnet20(depth=20, classes=10):
    return ResNet(depth, classes)
"""
NETWORK = {
    "_target_": "transfergrid.sources.own_network.OwnNetwork",
    "network": {"_imports_": "resnet20.resnet20"},
    "size": 32,
    "mean": [0.5],
    "std": [0.5],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A module and its weights, as they are found in the wild."""
    (tmp_path / "resnet20.py").write_text(RESNET20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(trust, "_named", dict(trust._named))
    sys.modules.pop("resnet20", None)
    trust._found.cache_clear()
    trust.allow("resnet20.resnet20")  # the composer vouches once and is shared by all tests
    torch.manual_seed(3)
    network = importlib.import_module("resnet20").resnet20()
    wrapped = nn.DataParallel(network).state_dict()
    torch.save({"state_dict": wrapped, "best_prec1": 91.7, "epoch": 180}, "resnet20.th")
    yield tmp_path
    sys.modules.pop("resnet20", None)


def overrides(language="bash", containing="source.network=resnet20.resnet20 source.file"):
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    (found,) = [text for text in blocks if containing in text]
    command, *words = shlex.split(found.replace("\\\n", " "))
    assert command == "transfergrid"
    return words


def sources(plan):
    return [cell.config["source"] for cell in plan.cells]


def test_the_one_command_of_the_page_runs(folder):
    plan = planned(*overrides(), "training.steps=2", "training.batch_size=8")
    made = plan.cells
    assert {cell.names.strategy for cell in made} >= {"full_finetuning", "feature_extraction"}
    (cell,) = [cell for cell in made if cell.names.strategy == "feature_extraction"]
    record = run_cell(cell, Ledger(folder / "results"), Machine())
    assert record.status is Status.DONE
    assert record.config["source"]["architecture"]["network"] == NETWORK["network"]


def test_its_features_are_what_its_own_classifier_sees(folder):
    config = next(source for source in sources(planned(*overrides())) if "file" in (source or {}))
    source = build(config)
    source.check()
    backbone = source.initial().eval()
    assert backbone.notes["weights_left_out"] == ["linear.bias", "linear.weight"]
    theirs = importlib.import_module("resnet20").resnet20().eval()
    state = torch.load("resnet20.th")["state_dict"]
    theirs.load_state_dict({name.removeprefix("module."): v for name, v in state.items()})
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs.linear(backbone.embed(images)), theirs(images))
        for k in range(len(backbone.blocks()) + 1):
            boundary = backbone.prefix(k)(images)
            assert torch.equal(backbone.suffix(k)(boundary), backbone.embed(images))
    assert len(backbone.blocks()) == 1 + 9
    assert backbone.preprocess.mean == (0.4914, 0.4822, 0.4465)


def test_a_short_name_of_its_own(folder):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    told = yaml.safe_load(text)
    keys = ("network", "file", "size", "mean", "std")
    typed = [f"source.{key}={told[key]}".replace(" ", "") for key in keys]
    assert planned("source=own_network", *typed).cells
    assert told["defaults"] == ["own_network", "_self_"]


def checked(*words):
    for cell in planned(*words).cells:
        check_parts(cell)


def refusal(*words):
    with pytest.raises(BadInputError) as error:
        checked(*words)
    text = str(error.value)
    assert "\n" not in text
    return text


class TestEachErrorShowsTheNextStep:
    def test_from_a_checkpoint_to_the_page(self, folder):
        file = "source.file=resnet20.th"
        text = refusal("source=checkpoint", file, "source.model=resnet20")
        assert "source=own_network, docs/own_network.md" in text
        text = refusal("source=checkpoint", file, "source.model=resnet18")
        assert "source=own_network, docs/own_network.md" in text
        text = refusal(
            "source=checkpoint", file, "source.architecture={_target_: resnet20.resnet20}"
        )
        assert "source.architecture is a ResNet and no Architecture" in text
        assert "source=own_network source.network=MODULE.NAME" in text

    def test_all_that_is_needed_is_asked_for_at_once(self, folder):
        text = refusal("source=own_network", "source.file=resnet20.th")
        assert all(f"source.{key}=..." in text for key in ("network", "size", "mean", "std"))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ("source.network=resnet20.resnet2", "has no resnet2; did you mean resnet20"),
            ("source.network=resnet21.resnet20", "cannot import resnet21.resnet20"),
            ("source.network=resnet20.torch", "is not callable"),
            ("source.architecture.options={width: 3}", "source.architecture.options={key: value}"),
            ("source.architecture.options={depth: 32}", "12 missing|missing"),
            ("source.mean=[125]", "mean must be a list of shares of 1"),
            ("source.file=resnet20.py", "neither safetensors nor what torch.save wrote"),
        ],
    )
    def test_wrong_values(self, folder, change, told):
        key = change.partition("=")[0]
        words = [word for word in overrides() if not word.startswith(f"{key}=")]
        assert re.search(told, refusal(*words, change))


def test_an_architecture_in_the_place_of_a_named_one_needs_no_name(folder):
    words = ["source=checkpoint", "source.file=resnet20.th", f"source.architecture={inline()}"]
    plan = planned(*words, "strategy=feature_extraction")
    (found,) = [source for source in sources(plan) if "file" in (source or {})]
    assert not {"model", "network"} & found.keys()
    assert found["architecture"]["network"] == NETWORK["network"]


def inline():
    return (
        "{_target_: transfergrid.sources.own_network.OwnNetwork, size: 32, mean: [0.5], "
        "std: [0.5], network: {_imports_: resnet20.resnet20}}"
    )


def test_what_is_typed_may_be_imported(folder):
    trust.forget()
    composed.composer.cache_clear()
    planned(*overrides())
    assert "resnet20.resnet20" in trust.allowed()


def test_a_record_cannot_have_it_imported(folder):
    trust.forget()
    (folder / "evil.py").write_text("open('imported', 'w')\n")
    trust._found.cache_clear()
    told = {**NETWORK, "network": {"_imports_": "evil.X"}}
    with pytest.raises(trust.ForeignNameError, match=r"names evil\.X.*--allow evil"):
        build(told)
    assert not (folder / "imported").exists()
    trust.allow("resnet20")
    with pytest.raises(trust.ForeignNameError, match=r"--allow resnet20\.resnet20"):
        build(NETWORK).build()
    trust.allow("resnet20.resnet20")
    assert build(NETWORK).build().dim == 64


def test_from_python_it_is_vouched_for(folder):
    trust.allow("resnet20")
    made = build(NETWORK)
    trust.forget()
    assert build(config_of(made)) == dataclasses.replace(made)
