"""Turn a folder of images into shards.

Either the images lie in one folder a class (the folders' sorted order gives the labels, as in torchvision's
ImageFolder), or a CSV file names each image's label. The images' bytes are stored untouched.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.job import canonical_json, register_job
from lit_adv.shards.listing import is_image_name
from lit_adv.shards.tar_writer import TarWriter

PACK_FILE = "pack.json"
_LONGEST_KEY = 80  # leaves room for an extension in a plain tar header's 100 bytes


class LabeledImage(NamedTuple):
    """An image file to pack.

    Attributes:
        path: The file.
        key: Its sample's key: ASCII, without dots and slashes, unique.
        label: Class index.
    """

    path: Path
    key: str
    label: int


def pack(
    source: str,
    destination: str,
    labels: str | None = None,
    samples_per_shard: int = 1000,
    prefix: str | None = None,
) -> list[str]:
    """Pack a folder of images into shards ``<prefix>-000000.tar``, ... Shards that exist are kept.

    Args:
        source: Local folder with one folder a class, or with the images that ``labels`` names.
        destination: Folder for the shards, local or remote.
        labels: CSV file with the columns file name (relative to ``source``) and label; a header is optional.
        samples_per_shard: Images a shard.
        prefix: The shards' common name; by default the source folder's.

    Returns:
        The shards' URLs.

    Raises:
        FileNotFoundError: If there are no images, or one that ``labels`` names is missing.
        ValueError: If a label is not an integer.
        ConfigMismatchError: If ``destination`` holds shards of other images or sizes.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {source}")
    labeled = _read_class_folders(folder) if labels is None else _read_csv(folder, Path(labels))
    return pack_images(_with_keys(folder, labeled), destination, samples_per_shard, prefix or folder.resolve().name)


def pack_images(images: Sequence[LabeledImage], destination: str, samples_per_shard: int, prefix: str) -> list[str]:
    """Pack images into shards, in the order given; see :func:`pack`."""
    if samples_per_shard < 1:
        raise ValueError(f"samples_per_shard must be at least 1, got {samples_per_shard}")
    publish.prepare_folder(destination)
    scratch.remove_stale_scratch(destination)
    contents = [[image.key, image.label, image.path.stat().st_size] for image in images]
    register_job(
        destination,
        {
            "images": len(images),
            "images_sha256": hashlib.sha256(canonical_json(contents)).hexdigest(),
            "prefix": prefix,
            "samples_per_shard": samples_per_shard,
        },
        PACK_FILE,
    )
    present = storage.list_names(destination)
    shards: list[str] = []
    for number, start in enumerate(range(0, len(images), samples_per_shard)):
        name = f"{prefix}-{number:06d}.tar"
        shards.append(storage.join(destination, name))
        if name not in present:
            _write_shard(images[start : start + samples_per_shard], destination, name)
    return shards


def is_image_folder(url: str) -> bool:
    """Tell whether a URL is a local folder of class folders with images, and without shards."""
    folder = storage.local_path(url)
    if folder is None or not folder.is_dir() or any(folder.glob("*.tar")):
        return False
    return any(is_image_name(path.name) for path in folder.glob("*/*"))


def _write_shard(images: Sequence[LabeledImage], destination: str, name: str) -> None:
    with scratch.scratch_file(destination, name) as file:
        with TarWriter(file) as tar:
            for image in images:
                extension = image.path.suffix.lower().removeprefix(".")
                tar.write(image.key, {extension: image.path.read_bytes(), "cls": str(image.label).encode()})
        file.flush()
        publish.publish(file.name, storage.join(destination, name))


def _read_class_folders(folder: Path) -> list[tuple[Path, int]]:
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    images = {entry: sorted(path for path in entry.rglob("*") if is_image_name(path.name)) for entry in classes}
    if not any(images.values()):
        raise FileNotFoundError(
            f"no images in folders of {folder}; it must hold one folder a class, or give a CSV file with --labels"
        )
    # Skipping such a folder would shift the labels of all that follow; so would counting one that is no class.
    if empty := [entry.name for entry in classes if not images[entry]]:
        raise FileNotFoundError(f"class folders of {folder} without images: {', '.join(empty)}; fill or remove them")
    return [(path, label) for label, entry in enumerate(classes) for path in images[entry]]


def _read_csv(folder: Path, labels: Path) -> list[tuple[Path, int]]:
    labeled: list[tuple[Path, int]] = []
    with labels.open(newline="") as file:
        for line, row in enumerate(csv.reader(file), start=1):
            if not row:
                continue
            if len(row) < 2:
                raise ValueError(f"{labels}, line {line}: need a file name and a label, got {row}")
            path, label = folder / row[0].strip(), row[1].strip()
            if line == 1 and not path.is_file() and not label.isdecimal():
                continue  # a header
            if not path.is_file():
                raise FileNotFoundError(f"{labels}, line {line}: there is no file {path}")
            if not is_image_name(path.name):
                raise ValueError(f"{labels}, line {line}: {path} is not a jpg, jpeg, png or webp file")
            if not label.isdecimal():
                raise ValueError(f"{labels}, line {line}: the label {label!r} of {row[0]} is not a class index")
            labeled.append((path, int(label)))
    if not labeled:
        raise FileNotFoundError(f"{labels} names no images")
    return labeled


def _with_keys(folder: Path, labeled: Sequence[tuple[Path, int]]) -> list[LabeledImage]:
    """Give each image a key made from its path; where two would be equal, or too long, a hash tells them apart."""
    names = [path.relative_to(folder).as_posix() for path, _ in labeled]
    keys = [re.sub(r"[^A-Za-z0-9_-]", "_", name.rsplit(".", 1)[0]) for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is labeled twice")
    uses = Counter(keys)
    unique = [
        key if uses[key] == 1 and len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}-{_short_hash(name)}"
        for key, name in zip(keys, names, strict=True)
    ]
    return [LabeledImage(path, key, label) for key, (path, label) in zip(unique, labeled, strict=True)]


def _short_hash(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
