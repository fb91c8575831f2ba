"""Layers come back as they were saved; a file that asks for anything but arrays of numbers is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from lit_adv.tf_checkpoint import read_npy_layers
from tests.test_array_pickle import Payload
from tests.tf_checkpoint.tiny import LAYERS, assert_same
from tests.tf_checkpoint.write import write_npy


def save(path: Path, content: object, protocol: int = 4) -> Path:
    """Do what ``numpy.save`` does, whose protocol has changed with its versions."""
    write_npy(path, {})
    start = path.read_bytes()[:128]
    path.write_bytes(start + pickle.dumps(np.array(content, dtype=object), protocol))
    return path


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match="Fetch it again") as caught:
        read_npy_layers(path)
    assert str(caught.value).startswith(f"{path} cannot be read as a dictionary of layers: ")
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_layers_come_back(protocol: int, tmp_path: Path) -> None:
    layers = read_npy_layers(save(tmp_path / "weights.npy", LAYERS, protocol))
    assert layers.keys() == LAYERS.keys()
    for name, layer in LAYERS.items():
        assert_same(layers[name], layer)


def test_numpy_reads_the_same(tmp_path: Path) -> None:
    write_npy(tmp_path / "weights.npy", LAYERS)
    theirs = np.load(tmp_path / "weights.npy", allow_pickle=True).item()
    for name, layer in read_npy_layers(str(tmp_path / "weights.npy")).items():
        assert_same(layer, theirs[name])


def test_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path = save(tmp_path / "weights.npy", {"layer": {"weights": Payload(tmp_path / "ran")}})
    assert "which no array consists of" in refused(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1], "it holds no dictionary"),
        (7, "it holds no dictionary"),
        ({"layer": 7}, "its layer 'layer' is no dictionary under a name"),
        ({7: {}}, "its layer 7 is no dictionary under a name"),
        ({"layer": {"weights": 1.0}}, "'weights' of its layer 'layer' is no array of numbers"),
        ({"layer": {"weights": np.array([None])}}, "'weights' of its layer 'layer' is no array of numbers"),
        ({"layer": {"weights": np.array(["a"])}}, "asks for an array of the type 'U1'"),
    ],
)
def test_other_contents_are_refused(content: object, reason: str, tmp_path: Path) -> None:
    assert reason in refused(save(tmp_path / "weights.npy", content))


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "empty.npy").touch()
    for name in ("array.npy", "empty.npy"):
        assert "it does not begin as numpy.save begins a dictionary" in refused(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"no weights at .*missing\.npy"):
        read_npy_layers(tmp_path / "missing.npy")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npy"
    write_npy(path, {"layer": {"weights": np.ones(3, np.float32)}})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path)
