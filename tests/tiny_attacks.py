"""Tiny finished folders of adversarial shards, made by ``generate.py`` itself, and a plain way to read them."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lit_adv.cli.generate import generate as main
from tests.tiny_shards import sample_files, tar_bytes

SIZE = 32
LINEAR = "import:tests.models_of_tests:linear"
OTHER = "import:tests.models_of_tests:other_linear"
#: 7 + 4 + 2 images: a number that neither two processes nor batches of 3 divide.
SHARD_SIZES = (7, 4, 2)


class Stored(NamedTuple):
    """A sample as it lies in a shard; images are uint8 [3, H, W]."""

    key: str
    label: int
    clean: Tensor
    adversarial: Tensor


def make_attacked(folder: Path, name: str, *options: str, sizes: Sequence[int] = SHARD_SIZES) -> Path:
    """Attack random images with the tiny network LINEAR; return the output folder ``folder/name``."""
    for number, size in enumerate(sizes):
        shard = folder / f"clean/tiny-{number:06d}.tar"
        shard.parent.mkdir(parents=True, exist_ok=True)
        shard.write_bytes(tar_bytes(sample_files(size, first=100 * number)))
    arguments = (
        f"--model.surrogate={LINEAR}",
        "--model.attack=mi_fgsm",
        f"--data.shards={folder}/clean",
        f"--data.image_size={SIZE}",
        "--data.num_classes=10",
        f"--output.path={folder}/{name}",
        "--trainer.logger=false",
        "--trainer.accelerator=cpu",
    )
    main([*arguments, *options])
    return folder / name


def read_stored(folder: Path) -> Iterator[Stored]:
    """Read a folder's shards with tarfile and Pillow alone."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for name, content in files.items():
            if name.endswith(".cls"):
                key = name.removesuffix(".cls")
                extension = "webp" if f"{key}.webp" in files else "png"
                clean, adversarial = (_pixels(files[f"{key}.{e}"]) for e in (f"clean.{extension}", extension))
                yield Stored(key, int(content), clean, adversarial)


def _pixels(content: bytes) -> Tensor:
    with Image.open(io.BytesIO(content)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
