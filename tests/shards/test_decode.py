"""Decoding: every kind of image file."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lit_adv.data.decoder import Decoder
from lit_adv.shards.decode import decode_image
from lit_adv.shards.tar import SampleError
from tests import tiny_shards

DECODER = Decoder(image_size=8, resize=8, num_classes=1000)


def png(image: Image.Image, image_format: str = "PNG", **settings: Any) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **settings)
    return file.getvalue()


def pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image)


RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "webp"])
def test_every_extension_is_an_image_whatever_its_content_is(extension: str) -> None:
    for image_format in ("JPEG", "PNG", "WEBP"):
        assert decode_image({extension: tiny_shards.image_file(1, (5, 4), image_format)}).size == (5, 4)


def test_16_bits_are_scaled_not_saturated() -> None:
    deep = np.array([[0, 128, 129, 257], [1000, 32768, 65000, 65535]], dtype=np.uint16)
    image = decode_image({"png": png(Image.fromarray(deep))})
    expected = np.rint(deep.astype(np.float64) * 255 / 65535)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(pixels(image), np.repeat(expected[..., None], 3, 2))


def test_alpha_is_dropped() -> None:
    color = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    for image_format, settings in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        decoded = decode_image({"png": png(Image.fromarray(color), image_format, **settings)})
        np.testing.assert_array_equal(pixels(decoded), color[..., :3])
    grey = decode_image({"png": png(Image.fromarray(color[..., 2:]).convert("LA"))})
    assert grey.mode == "RGB"


@pytest.mark.filterwarnings("error")
def test_a_palette_is_looked_up() -> None:
    palette = Image.fromarray(RAMP).convert("P")
    palette.putpalette([value for level in range(256) for value in (level, 255 - level, 7)])
    expected = np.stack([RAMP, 255 - RAMP, np.full_like(RAMP, 7)], 2)
    np.testing.assert_array_equal(pixels(decode_image({"png": png(palette)})), expected)
    transparent = png(palette, transparency=bytes(range(256)))
    np.testing.assert_array_equal(pixels(decode_image({"png": transparent})), expected)


def test_cmyk_becomes_rgb() -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = pixels(decode_image({"jpg": png(ink, "JPEG", quality=100)})).astype(int)
    assert red[..., 0].min() > 240
    assert red[..., 1:].max() < 15


def test_one_bit_images_work() -> None:
    bits = Image.fromarray(RAMP > 128)
    np.testing.assert_array_equal(pixels(decode_image({"png": png(bits)}))[..., 0], (RAMP > 128) * 255)


def test_a_corrupt_image_is_refused_at_every_cut() -> None:
    content = tiny_shards.image_file(0, (64, 64))
    for cut in range(0, len(content) - 40, 97):
        with pytest.raises(SampleError, match="cannot decode its jpg"):
            decode_image({"jpg": content[:cut]})


def test_other_formats_are_not_decoded() -> None:
    with pytest.raises(SampleError, match="cannot decode its png"):
        decode_image({"png": png(Image.fromarray(RAMP), "TIFF")})


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_is_refused_by_its_header() -> None:
    bomb = png(Image.new("1", (10_000, 9_000)))
    assert len(bomb) < 100_000
    with pytest.raises(SampleError, match="an image of 10000x9000 is larger than 89478485 pixels"):
        decode_image({"png": bomb})
    with pytest.raises(SampleError, match="an image of 8x8 is larger than 63 pixels"):
        decode_image({"png": png(Image.new("L", (8, 8)))}, max_pixels=63)


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(SampleError, match="bomb"):
        decode_image({"jpg": tiny_shards.image_file(0, (50, 50))})
