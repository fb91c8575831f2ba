"""Tiny shards of real image files."""

import importlib.util
import sys
import tarfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
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


@pytest.fixture
def make_shard(tmp_path: Path) -> MakeShard:
    """Write a shard of some files, or of ``count`` good samples, and return its path."""

    def make(name: str = "in/shard-000000.tar", files: Mapping[str, bytes] | int = 4, first: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tar_bytes(sample_files(files, first) if isinstance(files, int) else files))
        return path

    return make


@pytest.fixture
def two_shards(make_shard: MakeShard) -> str:
    """Two shards of 7 and 4 samples, as a brace pattern."""
    first = make_shard("in/shard-000000.tar", 7)
    make_shard("in/shard-000001.tar", 4, first=100)
    return str(first).replace("000000", "{000000..000001}")


@pytest.fixture(scope="session")
def tiny_job() -> ModuleType:
    """The module ``tiny_job.py`` of this folder."""
    spec = importlib.util.spec_from_file_location("tiny_job", Path(__file__).with_name("tiny_job.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_job"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def helpers() -> ModuleType:
    """This module's functions, for tests that call them outside of fixtures."""
    return sys.modules[__name__]
