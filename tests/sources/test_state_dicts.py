"""Weights as training programs leave them, and weights that are none."""

import pathlib
import re
import shlex

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.files import state_dicts, weights
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.timm import TimmArchitecture

ARCHITECTURE = SmallCNN(16, 3, (4, 5, 6))


def build(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return ARCHITECTURE.build()


@pytest.fixture
def network() -> nn.Module:
    return build(seed=1).network


@pytest.fixture
def state(network) -> dict[str, torch.Tensor]:
    return network.state_dict()


def loaded(tmp_path, contents, name="run.ckpt") -> Backbone:
    torch.save(contents, tmp_path / name)
    weights.check_file(str(tmp_path / name))
    return weights.load(build(), str(tmp_path / name))


def refused(tmp_path, contents) -> str:
    with pytest.raises(BadInputError) as error:
        loaded(tmp_path, contents)
    text = str(error.value)
    assert "\n" not in text
    assert str(tmp_path / "run.ckpt") in text
    return text


def under(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def other(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor + 1 for name, tensor in state.items()}


def is_expected(backbone: Backbone) -> bool:
    return backbone.fingerprint() == build(seed=1).fingerprint()


class Module(pl.LightningModule):
    """As users write them: the network is a part, and so is a loss with weights."""

    def __init__(self, network, width=3, where=None):
        super().__init__()
        self.save_hyperparameters("width", "where")
        self.model = network
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters())


def checkpoint_of(module: Module, file: pathlib.Path) -> pathlib.Path:
    trainer = pl.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    module.trainer = trainer
    trainer.strategy.connect(module)
    trainer.strategy.setup_optimizers(trainer)
    trainer.save_checkpoint(file)
    return file


class TestWhatTrainingProgramsKeep:
    @pytest.mark.filterwarnings("ignore")
    def test_a_checkpoint_of_lightning(self, tmp_path, network):
        file = checkpoint_of(Module(network), tmp_path / "last.ckpt")
        backbone = weights.load(build(), str(file))
        assert is_expected(backbone)
        assert backbone.notes["weights_left_out"] == ["criterion.weight"]

    @pytest.mark.filterwarnings("ignore")
    def test_objects_among_hyper_parameters_are_named_with_a_way_out_that_works(
        self, tmp_path, network, monkeypatch
    ):
        file = checkpoint_of(Module(network, where=pathlib.Path("/data")), tmp_path / "last.ckpt")
        with pytest.raises(BadInputError, match=r"pickle of more than tensors \(pathlib") as error:
            weights.read(str(file))
        command = re.search(r'python -c ".*"', str(error.value))[0]
        monkeypatch.chdir(tmp_path)
        exec(shlex.split(command)[2])
        assert is_expected(weights.load(build(), str(tmp_path / "weights.pt")))

    @pytest.mark.parametrize(
        "prefix", ["module.", "model.", "backbone.", "net.", "_orig_mod.", "encoder.body.", ""]
    )
    @pytest.mark.parametrize("key", ["net", "state_dict", "model_state", "params"])
    def test_dicts_with_further_keys(self, tmp_path, state, key, prefix):
        more = {"epoch": 200, "best_prec1": torch.tensor(91.7), "acc": 91.7, "arch": "resnet20"}
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], momentum=0.9, lr=0.1)
        contents = {key: under(prefix, state), "optimizer": optimizer.state_dict(), **more}
        assert is_expected(loaded(tmp_path, contents))

    def test_names_that_compiling_and_sharding_leave_inside(self, tmp_path, state):
        inside = {
            name.replace("conv2.", "conv2._orig_mod.").replace(
                "hidden.", "_fsdp_wrapped_module.hidden._checkpoint_wrapped_module."
            ): tensor
            for name, tensor in state.items()
        }
        assert inside.keys() != state.keys()
        assert is_expected(loaded(tmp_path, under("module.", inside)))

    def test_a_running_mean(self, tmp_path, network, state):
        assert is_expected(loaded(tmp_path, AveragedModel(network).state_dict()))
        assert is_expected(loaded(tmp_path, {"model_ema": state, "epoch": 3}))

    def test_beside_a_running_mean_the_plain_weights_are_taken(self, tmp_path, state):
        both = {"state_dict_ema": other(state), "state_dict": state}
        assert is_expected(loaded(tmp_path, both))
        one = under("ema_model.", other(state)) | under("model.", state)
        backbone = loaded(tmp_path, one)
        assert is_expected(backbone)
        assert backbone.notes["weights_left_out"] == sorted(under("ema_model.", state))

    def test_of_several_equals_none_is_guessed(self, tmp_path, state):
        text = refused(tmp_path, under("student.", state) | under("teacher.", state))
        assert "under student., teacher." in text
        text = refused(tmp_path, {"generator": state, "critic": other(state)})
        assert "several state dicts (generator, critic)" in text
        assert "['generator']" in text

    def test_nothing_that_could_be_weights(self, tmp_path):
        assert "no state dict" in refused(tmp_path, {"epoch": 3, "optimizer": {"state": {}}})
        assert "no state dict" in refused(tmp_path, [torch.ones(3)])


class TestWeightsThatAreNone:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_that_are_no_numbers_are_refused(self, tmp_path, state, value):
        state["conv2.0.weight"][0, 0, 0, 0] = value
        text = refused(tmp_path, state)
        assert "1 of 6 tensors hold NaN or infinity (conv2.0.weight)" in text

    def test_a_networks_own_endless_mask_is_one_of_its_values(self):
        mask = {"mask": torch.tensor([0.0, -torch.inf])}
        state_dicts.check_finite(mask, mask, "file")
        with pytest.raises(BadInputError, match="NaN or infinity"):
            state_dicts.check_finite(mask, {"mask": torch.zeros(2)}, "file")

    @pytest.mark.parametrize("value", [0.0, 0.25])
    def test_that_hold_one_number_a_layer_are_told(self, tmp_path, state, value, capsys):
        same = {name: torch.full_like(tensor, value) for name, tensor in state.items()}
        assert loaded(tmp_path, same).notes["weights_constant"]
        assert "warning: " in capsys.readouterr().out

    def test_others_are_not(self, tmp_path, state, capsys):
        state["conv2.0.weight"][:] = 0  # one layer may be so
        assert "weights_constant" not in loaded(tmp_path, state).notes
        assert capsys.readouterr().out == ""


def misfit(architecture, made_as) -> str:
    state = made_as.build().network.state_dict()
    with pytest.raises(BadInputError) as error:
        weights.fit(architecture.build(), state, "w.pt")
    return str(error.value)


class TestTheWayOut:
    """The keys are those of conf/source/*.yaml."""

    def test_of_another_number_of_channels(self):
        grey = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
        text = misfit(TimmArchitecture("test_resnet", 16), grey)
        assert "for images of 1 channels: 'source.architecture.options={in_chans: 1}'" in text
        text = misfit(ARCHITECTURE, SmallCNN(16, 1, (4, 5, 6)))
        assert "for images of 1 channels: source.architecture.channels=1" in text

    def test_of_another_size(self):
        text = misfit(TimmArchitecture("test_vit", 64), TimmArchitecture("test_vit", 96))
        assert "for images of 96 pixels: source.architecture.size=96" in text
        text = misfit(ARCHITECTURE, SmallCNN(28, 3, (4, 5, 6)))
        assert "images of another number of pixels: source.architecture.size=PIXELS" in text

    def test_of_another_network_there_is_none(self):
        text = misfit(ARCHITECTURE, SmallCNN(16, 3, (3, 5, 6)))
        assert "source.architecture" not in text


@pytest.mark.parametrize(("model", "size"), [("levit_128s", 100), ("test_vit", 8)])
def test_a_size_that_a_network_cannot_take_is_named_with_a_way_out(model, size):
    with pytest.raises(BadInputError) as error:
        assert TimmArchitecture(model, size).build().dim
    assert f"takes no images of {size} pixels" in str(error.value)
    assert "source.architecture.size=PIXELS" in str(error.value)
