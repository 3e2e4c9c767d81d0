"""torchvision's datasets by name, on tiny files in their published formats."""

import dataclasses
import pickle
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from transfergrid.data.torchvision_data import TorchvisionData
from transfergrid.data.torchvision_splits import KNOWN
from transfergrid.records.errors import BadInputError
from transfergrid.testing.declarations import read_yaml

YAML = Path(__file__).parents[2] / "conf" / "target" / "torchvision.yaml"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def images(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def write_idx(file: Path, array: np.ndarray) -> None:
    """Write the format of LeCun's MNIST page: 0, 0, type 8 (bytes), rank, sizes, big-endian."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    file.write_bytes(head + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, kind: str = "MNIST", used: int = 3) -> Path:
    for name, n, seed in (("train", 12, 1), ("t10k", 6, 2)):
        raw = root / kind / "raw" / name
        write_idx(raw.with_name(f"{name}-images-idx3-ubyte"), images(n, 28, 28, seed=seed))
        write_idx(raw.with_name(f"{name}-labels-idx1-ubyte"), np.arange(n) % used)
    return root


def write_folders(root: Path, counts: dict[str, int], suffix: str = ".jpg") -> None:
    for c, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i, pixels in enumerate(images(count, 9, 8, 3, seed=c + len(root.name))):
            Image.fromarray(pixels).save(root / name / f"{i}{suffix}")


def loaded(domain):
    domain.check()
    found = domain.load()
    assert found.classes == domain.classes
    return found


def refused(message, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        TorchvisionData(**arguments).check()
    assert "\n" not in str(caught.value)


def everything(examples):
    return np.stack(examples.read(np.arange(len(examples))))


def test_mnist_is_read_as_its_files_have_it(tmp_path):
    found = loaded(TorchvisionData("MNIST", str(write_mnist(tmp_path))))
    assert found.classes == ("0", "1", "2")
    np.testing.assert_array_equal(everything(found.pool)[..., 0], images(12, 28, 28, seed=1))
    np.testing.assert_array_equal(everything(found.test)[..., 0], images(6, 28, 28, seed=2))
    assert found.pool.labels.tolist() == [i % 3 for i in range(12)]
    np.testing.assert_array_equal(
        found.pool.read(np.array([7]))[0][..., 0], images(12, 28, 28, seed=1)[7]
    )


def test_fashion_keeps_its_names(tmp_path):
    found = loaded(TorchvisionData("FashionMNIST", str(write_mnist(tmp_path, "FashionMNIST"))))
    assert found.classes == ("T-shirt/top", "Trouser", "Pullover")


def test_one_folder_is_split_by_a_share_of_each_class(tmp_path):
    write_folders(tmp_path / "eurosat" / "2750", {"Forest": 10, "River": 5})
    found = loaded(TorchvisionData("EuroSAT", str(tmp_path), test_split=0.2))
    assert found.classes == ("Forest", "River")
    assert np.bincount(found.test.labels).tolist() == [2, 1]
    both = [x.tobytes() for part in (found.pool, found.test) for x in everything(part)]
    assert len(set(both)) == 15
    refused("EuroSAT has no test part: give a share", dataset="EuroSAT", root=str(tmp_path))


def test_options_reach_the_constructor_and_choose_the_files(tmp_path):
    for part, count in (("train", 4), ("val", 2)):
        names = {"n01440764": count, "n02102040": count}
        write_folders(tmp_path / "imagenette2-160" / part, names, ".JPEG")
    small = TorchvisionData("Imagenette", str(tmp_path), options={"size": "160px"})
    found = loaded(small)
    assert found.classes == ("tench, Tinca tinca", "English springer, English springer spaniel")
    assert (len(found.pool), len(found.test)) == (8, 4)
    refused("looked for imagenette2\\)", dataset="Imagenette", root=str(tmp_path))
    wrong = {"dataset": "Imagenette", "root": str(tmp_path)}
    refused("unknown option of Imagenette 'sise'; did you mean size", options={"sise": 1}, **wrong)
    refused("Unknown value '9px'", options={"size": "9px"}, **wrong)


def test_emnist_asks_which_characters_are_meant(tmp_path):
    refused("EMNIST needs target.options.split", dataset="EMNIST", root=str(tmp_path))


def test_content_is_that_of_the_datasets_own_files(tmp_path):
    write_mnist(tmp_path / "a")
    first = TorchvisionData("MNIST", str(tmp_path / "a")).content()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    write_mnist(tmp_path / "b", "KMNIST")
    (tmp_path / "b" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(b"packed")
    assert TorchvisionData("MNIST", str(tmp_path / "b")).content() == first
    write_mnist(tmp_path / "b", used=2)
    assert TorchvisionData("MNIST", str(tmp_path / "b")).content() != first


def test_copies_are_counted_and_dropped(tmp_path):
    root = write_mnist(tmp_path)
    both = np.concatenate([images(5, 28, 28, seed=2), images(7, 28, 28, seed=3)])
    write_idx(root / "MNIST" / "raw" / "train-images-idx3-ubyte", both)
    assert loaded(TorchvisionData("MNIST", str(root))).notes["duplicates"]["exact"] == 5
    found = loaded(TorchvisionData("MNIST", str(root), duplicates="drop"))
    assert (len(found.pool), len(found.test)) == (7, 6)


def test_a_test_part_leaves_no_room_for_a_share(tmp_path):
    root = str(write_mnist(tmp_path))
    refused("leave out test_split", dataset="MNIST", root=root, test_split=0.2)


@pytest.mark.parametrize(
    ("name", "meant"), [("mnist", "MNIST"), ("CIFAR_10", "CIFAR10"), ("flowers102", "Flowers102")]
)
def test_a_name_that_is_nearly_right_is_recognised(tmp_path, name, meant):
    refused(f"did you mean {meant}", dataset=name, root=str(tmp_path))


def test_missing_files_are_told_with_the_place_and_the_way_out(tmp_path):
    message = f"MNIST is not in {tmp_path}.*looked for MNIST/raw.*target.download=true"
    refused(message, dataset="MNIST", root=str(tmp_path))
    refused("CIFAR10 is not in", dataset="CIFAR10", root=str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_without_a_network_a_download_fails_at_once(tmp_path, monkeypatch):
    def unreachable(*address, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    message = "could not be downloaded .*: without a network put its files .MNIST/raw. into"
    refused(message, dataset="MNIST", root=str(tmp_path), download=True)
    assert loaded(TorchvisionData("MNIST", str(write_mnist(tmp_path)), download=True))


class Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_a_pickle_that_is_not_the_published_one_is_never_opened(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused("CIFAR10 is not in .* or not whole", dataset="CIFAR10", root=str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_a_broken_image_is_found_before_anything_runs(tmp_path):
    write_folders(tmp_path / "eurosat" / "2750", {"Forest": 4, "River": 4})
    (tmp_path / "eurosat" / "2750" / "River" / "2.jpg").write_bytes(b"no image")
    refused("EuroSAT: image 6: ", dataset="EuroSAT", root=str(tmp_path), test_split=0.5)


def test_every_named_dataset_is_one_of_torchvisions_and_takes_its_arguments():
    import inspect

    for name, known in KNOWN.items():
        signature = inspect.signature(getattr(datasets, name))
        for own in (*known.pool, known.test or {}):
            signature.bind("root", **({"split": "letters"} if name == "EMNIST" else {}), **own)


def test_the_yaml_says_what_the_class_says():
    config = read_yaml(YAML)
    fields = {f.name: f for f in dataclasses.fields(TorchvisionData)}
    assert config.keys() - {"_target_", "about"} == fields.keys()
    about = TorchvisionData.about()
    assert {key: config["about"][key] for key in about} == about


def test_naming_the_class_imports_no_torch():
    code = "import sys, transfergrid.data.torchvision_data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
