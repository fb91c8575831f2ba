"""From an image file to its pixels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lit_adv.shards.listing import IMAGE_EXTENSIONS, is_image_extension
from lit_adv.shards.tar import SampleError

#: An image of 8-bit values, [H, W, 3].
Pixels = npt.NDArray[np.uint8]

# A small file can claim any size; this many pixels take a quarter of a gigabyte.
MAX_PIXELS = 89_478_485


def choose_image(extensions: Collection[str], image_field: str | None = None) -> str:
    """Return the extension of a sample's image.

    Args:
        extensions: Of the sample's files.
        image_field: The one that the user chose, such as ``png`` or ``left.jpg``; None for the only one of
            :data:`IMAGE_EXTENSIONS`, beside which ``clean.png`` and the like may stand.

    Raises:
        SampleError: If there is none, or more than one.
    """
    if image_field is not None:
        if image_field not in extensions:
            raise SampleError(f"no image: there is no {image_field} file")
        return image_field
    plain = [extension for extension in IMAGE_EXTENSIONS if extension in extensions]
    found = plain or sorted(filter(is_image_extension, extensions))
    if not found:
        raise SampleError(f"no image ({', '.join(IMAGE_EXTENSIONS)})")
    if len(plain) != 1:
        several = "more than one image" if len(found) > 1 else "no image of a plain extension"
        raise SampleError(f"{several}: {', '.join(found[:5])}; choose one, as by data.image_field {found[0]}")
    return plain[0]


def decode_image(
    files: Mapping[str, bytes], max_pixels: int = MAX_PIXELS, image_field: str | None = None
) -> Image.Image:
    """Decode a sample's image to RGB: grey is repeated, alpha dropped, 16 bits are scaled to 8.

    Args:
        files: The sample's files' contents by extension.
        max_pixels: How many pixels the image may have.
        image_field: See :func:`choose_image`.

    Raises:
        SampleError: If there is no image or more than one, it is too large, or it cannot be decoded.
    """
    extension = choose_image(files.keys(), image_field)
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


def decode_stored(files: Mapping[str, bytes], extension: str, side: int) -> Pixels:
    """Decode an image that generation has stored.

    Args:
        files: The sample's files' contents by extension.
        extension: The image's, such as ``clean.webp``.
        side: Width and height that it must have, in pixels.

    Returns:
        uint8 [H, W, 3].

    Raises:
        SampleError: If there is no such file, it cannot be decoded, or it has another size.
    """
    if extension not in files:
        raise SampleError(f"there is no {extension} file")
    image_format = extension.rpartition(".")[2]
    image = decode_image({image_format: files[extension]}, max_pixels=min(side**2, MAX_PIXELS))
    if image.size != (side, side):
        raise SampleError(f"an image has {image.width}x{image.height} pixels, not {side}x{side}")
    return np.array(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow's own conversion would saturate at 255
        levels = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
