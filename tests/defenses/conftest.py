"""What the tests of defenses share: images, a classifier, weights in ComDefend's published form."""

import pickle
import zipfile
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor, nn

from lit_adv.defenses.comdefend import DECODER_FILE, ENCODER_FILE
from lit_adv.models import Classifier


@pytest.fixture
def images() -> Tensor:
    """Five images of 40 x 40 random pixels, multiples of 1/255."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (5, 3, 40, 40), generator=generator).float() / 255


@pytest.fixture
def keys() -> list[str]:
    return [f"image-{index}" for index in range(5)]


@pytest.fixture(scope="session")
def classifier() -> nn.Module:
    """A small convolutional classifier of ten classes that takes images of any size."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
    ).eval()


@pytest.fixture(scope="session")
def two_headed(classifier: nn.Module) -> Classifier:
    """The same classifier with an auxiliary head, whose logits are twice its own."""

    class TwoHeaded(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            logits = classifier(images)
            return logits, 2 * logits

    return Classifier(TwoHeaded()).eval()


@pytest.fixture(scope="session")
def write_array_list() -> Callable[[Path, object], None]:
    """Write an object array as ComDefend's authors did: a zip of a .npy of a protocol 2 pickle by NumPy 1."""

    def write(path: Path, content: object) -> None:
        stream = BytesIO()
        length = len(content) if isinstance(content, np.ndarray) else 1
        npy.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (length,)})
        pickled = pickle.dumps(content, protocol=2)
        stream.write(pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w.npy", stream.getvalue())

    return write


@pytest.fixture(scope="session")
def comdefend_weights(
    tmp_path_factory: pytest.TempPathFactory, write_array_list: Callable[[Path, object], None]
) -> Path:
    """A folder with random weights for ComDefend, in the form of the published files."""
    folder = tmp_path_factory.mktemp("comdefend")
    generator = np.random.default_rng(3)

    def network(*widths: int) -> NDArray[np.object_]:
        arrays = np.empty(18, dtype=object)
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            kernel = generator.standard_normal((3, 3, inputs, outputs)) * (2 / (9 * inputs)) ** 0.5
            arrays[2 * layer] = kernel.astype(np.float32)
            arrays[2 * layer + 1] = generator.standard_normal(outputs).astype(np.float32) / 10
        return arrays

    write_array_list(folder / ENCODER_FILE, network(3, 16, 32, 64, 128, 256, 128, 64, 32, 12))
    write_array_list(folder / DECODER_FILE, network(12, 32, 64, 128, 256, 128, 64, 32, 16, 3))
    return folder
