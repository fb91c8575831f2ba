"""JPEG compression against files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lit_adv.defenses import JPEGCompression


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_it_equals_a_jpeg_file(images: Tensor, keys: list[str], tmp_path: Path, quality: int) -> None:
    purified = JPEGCompression(nn.Identity(), quality).purify(images, keys)
    for image, result in zip(images, purified, strict=True):
        pixels = (image.numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(tmp_path / "image.jpg", quality=quality)
        expected = np.asarray(Image.open(tmp_path / "image.jpg")).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-7)


def test_values_outside_the_range_of_an_image_are_clipped(keys: list[str]) -> None:
    images = torch.tensor([-0.5, 1.5]).view(2, 1, 1, 1).expand(2, 3, 16, 16)
    black, white = JPEGCompression(nn.Identity()).purify(images, keys[:2])
    assert black.eq(0).all()
    assert white.eq(1).all()


@pytest.mark.parametrize("quality", [0, 96])
def test_impossible_qualities_are_refused(quality: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 95"):
        JPEGCompression(nn.Identity(), quality=quality)
