"""Decoding: every kind of image file, and every kind of bad sample."""

import json
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from lit_adv.data.decode import Decoder, SampleError, decode_image

DECODER = Decoder(image_size=8, resize=8, num_classes=1000)


def png(image: Image.Image, image_format: str = "PNG", **settings: Any) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **settings)
    return file.getvalue()


def pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image)


RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(40, 30), (30, 40), (7, 9), (1, 1)])
def test_resizing_and_cropping_equal_torchvision(
    size: tuple[int, int], interpolation: str, helpers: ModuleType
) -> None:
    content = helpers.image_file(0, size)
    decoder = Decoder(image_size=16, resize=18, interpolation=interpolation)  # type: ignore[arg-type]
    transform = v2.Compose([v2.Resize(18, v2.InterpolationMode(interpolation)), v2.CenterCrop(16), v2.PILToTensor()])
    image, label, target = decoder({"jpg": content, "cls": b"7\n"})
    assert torch.equal(image, transform(Image.open(BytesIO(content)).convert("RGB")))
    assert (image.dtype, image.shape, label, target) == (torch.uint8, (3, 16, 16), 7, None)


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "webp"])
def test_every_extension_is_an_image_whatever_its_content_is(extension: str, helpers: ModuleType) -> None:
    for image_format in ("JPEG", "PNG", "WEBP"):
        assert decode_image({extension: helpers.image_file(1, (5, 4), image_format)}).size == (5, 4)


def test_grey_is_repeated() -> None:
    image, _, _ = DECODER({"png": png(Image.fromarray(RAMP)), "cls": b"0"})
    assert torch.equal(image, torch.from_numpy(RAMP).expand(3, 8, 8))


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


def test_a_corrupt_image_is_refused_at_every_cut(helpers: ModuleType) -> None:
    content = helpers.image_file(0, (64, 64))
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


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, helpers: ModuleType) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(SampleError, match="bomb"):
        decode_image({"jpg": helpers.image_file(0, (50, 50))})


def test_a_line_that_would_become_huge_is_refused(helpers: ModuleType) -> None:
    with pytest.raises(SampleError, match="1x3000 is too narrow"):
        Decoder()({"png": helpers.image_file(0, (1, 3000), "PNG"), "cls": b"0"})


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no class index: there is no cls file"),
        ({"cls": b"cat"}, "cls is not an integer: 'cat'"),
        ({"cls": b""}, "cls is not an integer"),
        ({"cls": b"1.0"}, "cls is not an integer"),
        ({"cls": b"9" * 5000}, "cls is not an integer"),
        ({"cls": b"\xff"}, "its cls is not text"),
        ({"cls": b"1000"}, r"cls 1000 is not in \[0, 1000\)"),
        ({"cls": b"-1"}, r"cls -1 is not in \[0, 1000\)"),
    ],
)
def test_a_bad_label_is_refused_with_the_reason(files: dict[str, bytes], reason: str, helpers: ModuleType) -> None:
    with pytest.raises(SampleError, match=reason):
        DECODER({"jpg": helpers.image_file(), **files})


def test_an_image_is_needed() -> None:
    with pytest.raises(SampleError, match="no image"):
        DECODER({"cls": b"1"})


def test_label_and_target_may_come_from_json(helpers: ModuleType) -> None:
    decoder = Decoder(image_size=8, resize=8, label_field="label", target_field="goal")
    record = json.dumps({"label": 5, "goal": "17"}).encode()
    _, label, target = decoder({"jpg": helpers.image_file(), "json": record})
    assert (label, target) == (5, 17)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"{", "json cannot be parsed"),
        (b"[" * 100_000, "json cannot be parsed"),
        (b"[1]", "no field 'label'"),
        (b"{}", "no field 'label'"),
        (b'{"label": true}', "label is not an integer"),
        (b'{"label": 1.5}', "label is not an integer"),
        (b'{"label": null}', "label is not an integer"),
        (b'{"label": 1000}', "label 1000 is not in"),
    ],
)
def test_bad_json_is_refused_with_the_reason(record: bytes, reason: str, helpers: ModuleType) -> None:
    with pytest.raises(SampleError, match=reason):
        Decoder(label_field="label")({"jpg": helpers.image_file(), "json": record})


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="image_size must lie in"):
        Decoder(image_size=300, resize=256)
