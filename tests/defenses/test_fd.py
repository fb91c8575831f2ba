"""Feature distillation against a loop over blocks with SciPy's DCT."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from torch import Tensor

from lit_adv.defenses.fd import feature_distillation


def loop(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distill one image [3, H, W] block by block; 8 divides H and W."""
    steps = np.full((8, 8), 30.0)
    steps[:4, :4] = 25
    result = np.empty_like(image)
    for channel in range(3):
        for top in range(0, image.shape[1], 8):
            for left in range(0, image.shape[2], 8):
                block = (channel, slice(top, top + 8), slice(left, left + 8))
                coefficients = dctn(image[block] * 255, norm="ortho")
                result[block] = idctn(np.round(coefficients / steps) * steps, norm="ortho") / 255
    return np.clip(result, 0, 1)


@pytest.fixture
def continuous() -> Tensor:
    """Images whose coefficients never lie half-way between two levels."""
    return torch.rand(3, 3, 40, 24, generator=torch.Generator().manual_seed(2))


def test_every_image_equals_a_loop_over_blocks(continuous: Tensor) -> None:
    distilled = feature_distillation(continuous)
    for image, result in zip(continuous.double().numpy(), distilled, strict=True):
        np.testing.assert_allclose(result.numpy(), loop(image), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(35, 24), (40, 17), (3, 5)])
def test_sides_that_8_does_not_divide_are_padded_with_their_edge(continuous: Tensor, height: int, width: int) -> None:
    cropped = continuous[..., :height, :width]
    distilled = feature_distillation(cropped)
    for image, result in zip(cropped.double().numpy(), distilled, strict=True):
        padded = np.pad(image, ((0, 0), (0, -height % 8), (0, -width % 8)), mode="edge")
        np.testing.assert_allclose(result.numpy(), loop(padded)[:, :height, :width], atol=1e-6)


def test_the_result_is_an_image(images: Tensor) -> None:
    distilled = feature_distillation((images > 0.5).float())
    assert distilled.dtype == torch.float32
    assert distilled.min() >= 0
    assert distilled.max() <= 1
