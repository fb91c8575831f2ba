"""Encoding loses nothing."""

from io import BytesIO
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lit_adv.shards.encode import encode_image

IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)).flatmap(lambda s: arrays(np.uint8, s))


@pytest.mark.parametrize("image_format", ["webp", "png"])
@given(pixels=IMAGES)
def test_every_pixel_survives(image_format: Literal["webp", "png"], pixels: np.ndarray) -> None:
    content = encode_image(pixels, image_format)
    with Image.open(BytesIO(content)) as image:
        assert image.format == image_format.upper()
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)


@pytest.mark.parametrize("image_format", ["webp", "png"])
def test_memory_layout_does_not_matter(image_format: Literal["webp", "png"]) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    pixels = planes.transpose(1, 2, 0)
    assert encode_image(pixels, image_format) == encode_image(np.ascontiguousarray(pixels), image_format)
