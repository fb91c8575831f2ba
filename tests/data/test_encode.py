"""Encoding loses nothing."""

from io import BytesIO
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lit_adv.data.encode import encode_image

IMAGES = st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9)).flatmap(lambda s: arrays(np.uint8, s))


@pytest.mark.parametrize("image_format", ["webp", "png"])
@given(pixels=IMAGES)
def test_every_pixel_survives(image_format: Literal["webp", "png"], pixels: np.ndarray) -> None:
    content = encode_image(torch.from_numpy(pixels), image_format)
    with Image.open(BytesIO(content)) as image:
        assert image.format == image_format.upper()
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")).transpose(2, 0, 1), pixels)


@pytest.mark.parametrize("image_format", ["webp", "png"])
def test_memory_layout_does_not_matter(image_format: Literal["webp", "png"]) -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    rows = images.contiguous(memory_format=torch.channels_last)
    assert encode_image(images[1], image_format) == encode_image(rows[1], image_format)
