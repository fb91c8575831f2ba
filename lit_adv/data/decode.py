"""From a raw sample to an image of the size the attack sees, and its label."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from lit_adv.data.shards import IMAGE_EXTENSIONS

Interpolation = Literal["bicubic", "bilinear"]

# A small file can claim any size; this many pixels take a quarter of a gigabyte.
MAX_PIXELS = 89_478_485


class SampleError(Exception):
    """A sample that cannot be used; the message is the reason."""


class Sample(NamedTuple):
    """A decoded sample.

    Attributes:
        image: uint8 [3, H, W].
        label: Class index.
        target: The class the image is to be taken for, if the data names one.
    """

    image: Tensor
    label: int
    target: int | None


@dataclass(frozen=True)
class Decoder:
    """Decodes samples. Images are resized to a shorter side of ``resize`` and cropped in the middle.

    Attributes:
        image_size: Side of the square crop, in pixels.
        resize: Shorter side before cropping, in pixels.
        interpolation: How pixels are interpolated, with antialiasing.
        num_classes: Labels lie in [0, num_classes).
        label_field: ``cls`` for the sample's ``cls`` file; any other name is a field of its ``json`` file.
        target_field: Field of the ``json`` file that holds the target class; None if there are no targets.

    Raises:
        ValueError: If the crop is larger than the resized image.
    """

    image_size: int = 224
    resize: int = 256
    interpolation: Interpolation = "bicubic"
    num_classes: int = 1000
    label_field: str = "cls"
    target_field: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= self.resize:
            raise ValueError(f"image_size must lie in [1, resize], got {self.image_size} and {self.resize}")

    def __call__(self, files: Mapping[str, bytes]) -> Sample:
        """Decode a sample.

        Args:
            files: Its files' contents by extension.

        Raises:
            SampleError: If there is no image that can be decoded, or no label in range.
        """
        label = self.label(files)
        target = None if self.target_field is None else self._class_index(files, self.target_field)
        return Sample(self._fit(decode_image(files)), label, target)

    def label(self, files: Mapping[str, bytes]) -> int:
        """Return a sample's label; its image need not be among the files.

        Raises:
            SampleError: If there is no label in range.
        """
        return self._class_index(files, self.label_field)

    def aim(self, files: Mapping[str, bytes]) -> int | None:
        """Return the class that the attack on a stored sample aimed at, as its record says; None if it was untargeted.

        Raises:
            SampleError: If there is no record, or the class is not in range.
        """
        record = _json(files)
        if isinstance(record, dict) and "target" not in record:
            return None
        return self._class_index(files, "target")

    def _fit(self, image: Image.Image) -> Tensor:
        shorter, longer = sorted(image.size)
        if longer / shorter * self.resize**2 > MAX_PIXELS:
            raise SampleError(f"an image of {image.width}x{image.height} is too narrow to resize")
        image = functional.resize(image, [self.resize], InterpolationMode(self.interpolation))
        image = functional.center_crop(image, [self.image_size])
        return torch.as_tensor(functional.pil_to_tensor(image))

    def _class_index(self, files: Mapping[str, bytes], field: str) -> int:
        value = _text(files, "cls").strip() if field == "cls" else _json_field(files, field)
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise SampleError(f"{field} is not an integer: {str(value)[:40]!r}")
        if not 0 <= value < self.num_classes:
            raise SampleError(f"{field} {value} is not in [0, {self.num_classes})")
        return value


def decode_image(files: Mapping[str, bytes], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a sample's image to RGB: grey is repeated, alpha dropped, 16 bits are scaled to 8.

    Args:
        files: The sample's files' contents by extension.
        max_pixels: How many pixels the image may have.

    Raises:
        SampleError: If there is no image, it is too large, or it cannot be decoded.
    """
    extension = next((extension for extension in IMAGE_EXTENSIONS if extension in files), None)
    if extension is None:
        raise SampleError(f"no image ({', '.join(IMAGE_EXTENSIONS)})")
    try:
        with Image.open(BytesIO(files[extension]), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > max_pixels:
                raise SampleError(f"an image of {image.width}x{image.height} is larger than {max_pixels} pixels")
            return _to_rgb(image)
    except (MemoryError, SampleError):
        raise
    except UnidentifiedImageError as error:
        raise SampleError(f"cannot decode its {extension}: it is not a JPEG, PNG or WebP image") from error
    except Exception as error:  # a damaged file makes a decoder fail in any way
        raise SampleError(f"cannot decode its {extension}: {error}") from error


def decode_stored(files: Mapping[str, bytes], extension: str, side: int) -> Image.Image:
    """Decode an image that generation has stored.

    Args:
        files: The sample's files' contents by extension.
        extension: The image's, such as ``clean.webp``.
        side: Width and height that it must have, in pixels.

    Raises:
        SampleError: If there is no such file, it cannot be decoded, or it has another size.
    """
    if extension not in files:
        raise SampleError(f"there is no {extension} file")
    image_format = extension.rpartition(".")[2]
    image = decode_image({image_format: files[extension]}, max_pixels=min(side**2, MAX_PIXELS))
    if image.size != (side, side):
        raise SampleError(f"an image has {image.width}x{image.height} pixels, not {side}x{side}")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow's own conversion would saturate at 255
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _text(files: Mapping[str, bytes], extension: str) -> str:
    if extension not in files:
        raise SampleError(f"no class index: there is no {extension} file")
    try:
        return files[extension].decode()
    except UnicodeDecodeError as error:
        raise SampleError(f"its {extension} is not text") from error


def _json(files: Mapping[str, bytes]) -> Any:
    try:
        return json.loads(_text(files, "json"))
    except (ValueError, RecursionError) as error:
        raise SampleError(f"its json cannot be parsed: {error}") from error


def _json_field(files: Mapping[str, bytes], field: str) -> Any:
    record = _json(files)
    if not isinstance(record, dict) or field not in record:
        raise SampleError(f"no class index: its json has no field {field!r}")
    return record[field]
