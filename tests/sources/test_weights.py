import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.files import weights
from transfergrid.sources.timm import TimmArchitecture

ARCHITECTURE = TimmArchitecture("test_resnet", 16, {"in_chans": 1})
SHARED = Path(__file__).parents[3] / "shared" / "data" / "weights"


def build(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return ARCHITECTURE.build()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return build(seed=1).network.state_dict()


def one_line(error: pytest.ExceptionInfo[BadInputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


class Planted:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize(
    "suffix", [".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".th", ".tar", ""]
)
def test_what_was_saved_is_loaded(tmp_path, state, suffix):
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    loaded = weights.load(build(), str(file)).network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_save_replaces_the_whole_file_and_leaves_nothing_else(tmp_path, state):
    file = tmp_path / "weights.safetensors"
    for seed in (2, 1):
        weights.save(build(seed).network.state_dict(), file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    read = weights.read(str(file))
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.parametrize("outer", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.network.", "_orig_mod."])
def test_wrapped_state_dicts_are_unwrapped(tmp_path, state, outer, prefix):
    file = tmp_path / "weights.pth"
    torch.save({outer: {prefix + k: v for k, v in state.items()}, "epoch": 3}, file)
    assert weights.load(build(), str(file)).fingerprint() == build(seed=1).fingerprint()


def test_a_backbones_own_state_dict_is_taken(tmp_path):
    file = tmp_path / "weights.safetensors"
    weights.save(build(seed=1).state_dict(), file)
    assert weights.load(build(), str(file)).fingerprint() == build(seed=1).fingerprint()


def test_files_of_torch_before_1_6_are_read(tmp_path, state):
    file = tmp_path / "weights.pth"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    assert weights.load(build(), str(file)).fingerprint() == build(seed=1).fingerprint()


def test_a_classifier_is_left_out_and_noted(tmp_path, state):
    file = tmp_path / "weights.safetensors"
    weights.save({**state, "fc.weight": torch.ones(7, 96), "fc.bias": torch.ones(7)}, file)
    backbone = weights.load(build(), str(file))
    assert backbone.fingerprint() == build(seed=1).fingerprint()
    assert backbone.notes["weights_left_out"] == ["fc.bias", "fc.weight"]


def test_batch_counts_may_be_missing(tmp_path, state):
    file = tmp_path / "weights.safetensors"
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    weights.save(old, file)
    assert weights.load(build(), str(file)).fingerprint() == build(seed=1).fingerprint()


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path, state):
    file = tmp_path / "weights.safetensors"
    other = dict(state)
    other["neck.weight"] = other.pop("layer1.0.conv1.weight")
    other["bn1.weight"] = torch.ones(5)
    weights.save(other, file)
    backbone = build()
    with pytest.raises(BadInputError) as error:
        weights.load(backbone, str(file))
    text = one_line(error)
    assert "1 missing (layer1.0.conv1.weight)" in text
    assert "1 unexpected (neck.weight)" in text
    assert "1 of another shape (bn1.weight (5,) for (" in text
    assert str(file) in text
    assert backbone.fingerprint() == build().fingerprint()


def test_of_many_keys_the_first_are_named_and_all_are_counted(tmp_path):
    file = tmp_path / "weights.safetensors"
    weights.save({f"layer{i}": torch.ones(1) for i in range(9)}, file)
    with pytest.raises(BadInputError, match=r"9 unexpected \(layer0, layer1, layer2, \.\.\.\)"):
        weights.load(build(), str(file))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["pickle", "torch", "legacy torch"])
def test_a_pickle_of_objects_is_refused_and_not_executed(tmp_path, state, kind, protocol):
    file, trace = tmp_path / "weights.pth", tmp_path / "executed"
    contents = {"state_dict": state, "extra": Planted(trace)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(contents, protocol=protocol))
    else:
        new = kind == "torch"
        torch.save(contents, file, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    with pytest.raises(BadInputError, match="transfergrid unpickles nothing") as error:
        weights.read(str(file))
    assert str(file) in one_line(error)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Planted(trace)))
    assert trace.exists(), "the plant itself does nothing"


def test_a_whole_module_is_refused(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save(build().network, file)
    with pytest.raises(BadInputError, match="pickle of more than tensors"):
        weights.read(str(file))


def test_checking_a_file_sees_the_planted_object_before_torch_does(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"extra": Planted(tmp_path / "executed")}, file)
    with pytest.raises(BadInputError, match="pickle of more than tensors"):
        weights.check_file(str(file))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_file_is_named(tmp_path, state, suffix, damage):
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(BadInputError) as error:
        weights.read(str(file))
    assert str(file) in one_line(error)


def test_a_file_that_is_missing_or_of_another_kind_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"gone\.pth: there is no such file"):
        weights.check_file(str(tmp_path / "gone.pth"))
    with pytest.raises(BadInputError, match=r"is a folder: give the file"):
        weights.check_file(str(tmp_path))
    np.savez(tmp_path / "weights.npz", weight=np.ones(3))
    (tmp_path / "weights.onnx").write_bytes(bytes(range(64)))
    for name in ("weights.npz", "weights.onnx"):
        with pytest.raises(BadInputError, match=r"neither safetensors nor what torch\.save wrote"):
            weights.check_file(str(tmp_path / name))


def test_a_dict_of_other_things_is_no_state_dict(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"epoch": 3, "name": "x"}, file)
    with pytest.raises(BadInputError, match=r"no state dict.*epoch, name"):
        weights.read(str(file))


@pytest.mark.parametrize("name", ["tf2_ptq_in1k", "inat_insect", "inat_bird"])
def test_real_mobilenet_weights_fit(name):
    file = SHARED / f"mobilenetv2_100.{name}" / "model.safetensors"
    if not file.exists():
        pytest.skip("no shared data here")
    architecture = TimmArchitecture("mobilenetv2_100", 64, {"pad_type": "same"})
    backbone = weights.load(architecture.build(), str(file))
    assert backbone.notes["weights_left_out"] == ["classifier.bias", "classifier.weight"]
    stored = weights.read(str(file))
    assert torch.equal(backbone.network.conv_stem.weight, stored["conv_stem.weight"])
