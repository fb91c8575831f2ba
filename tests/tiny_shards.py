"""Tiny shards of real image files; the fixtures around them are in conftest.py."""

import tarfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

MakeShard = Callable[..., Path]


def encode(image: Image.Image, image_format: str = "PNG") -> bytes:
    file = BytesIO()
    image.save(file, image_format)
    return file.getvalue()


def image_file(seed: int = 0, size: tuple[int, int] = (24, 20), image_format: str = "JPEG") -> bytes:
    """Return an image file of random pixels; ``size`` is width and height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), image_format)


def tar_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return archive.getvalue()


def sample_files(count: int, first: int = 0) -> dict[str, bytes]:
    """Return the files of ``count`` good samples, keys ``0000``, ``0001``, ..."""
    files: dict[str, bytes] = {}
    for number in range(first, first + count):
        files[f"{number:04d}.jpg"] = image_file(number)
        files[f"{number:04d}.cls"] = str(number % 10).encode()
    return files
