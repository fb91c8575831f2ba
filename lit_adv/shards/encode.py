"""Lossless image files from pixels. A lossy format would erase the perturbation."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

from PIL import Image

from lit_adv.shards.decode import Pixels

ImageFormat = Literal["webp", "png"]

# Adversarial noise leaves a compressor little to find, so each format's fastest setting also is about its smallest.
_SETTINGS: dict[ImageFormat, dict[str, Any]] = {
    "webp": {"lossless": True, "method": 0, "quality": 0, "exact": True},
    "png": {"compress_level": 1, "compress_type": 2},  # zlib's Z_HUFFMAN_ONLY
}


def encode_image(pixels: Pixels, image_format: ImageFormat) -> bytes:
    """Encode an image without loss.

    Args:
        pixels: uint8 [H, W, 3].
        image_format: The file format.

    Returns:
        The file's contents; the same pixels give the same bytes.
    """
    file = BytesIO()
    Image.fromarray(pixels).save(file, image_format, **_SETTINGS[image_format])
    return file.getvalue()
