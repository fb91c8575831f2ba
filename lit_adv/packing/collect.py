"""Which images a folder holds, and which label each has."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from lit_adv.packing.classes import IMAGE_FOLDERS, class_names, read_class_folders
from lit_adv.packing.keys import LabeledImage, with_keys
from lit_adv.packing.listed import read_listed
from lit_adv.packing.settings import LabelSettings
from lit_adv.packing.walk import LeftOut, entries, is_system_file, walk
from lit_adv.packing.write import pack_images
from lit_adv.shards import storage
from lit_adv.shards.listing import is_image_name
from lit_adv.shards.remote import redact

TABLE = "labels.csv"  # is read if it lies in a folder without class folders

logger = logging.getLogger(__name__)


class Collection(NamedTuple):
    """Labeled images.

    Attributes:
        name: Of the folder that they come from.
        images: The images.
        classes: The names of the classes by label; empty where labels come from a CSV file.
        notes: What the user should know, a sentence each.
    """

    name: str
    images: list[LabeledImage]
    classes: dict[int, str]
    notes: list[str]


def pack(
    source: str,
    destination: str,
    labels: str | None = None,
    samples_per_shard: int = 1000,
    prefix: str | None = None,
    settings: LabelSettings | None = None,
) -> list[str]:
    """Pack a folder of images into shards ``<prefix>-000000.tar``, ... Shards that exist are kept.

    Args:
        source: See :func:`collect`.
        destination: Folder for the shards, local or remote.
        labels: See :func:`collect`.
        samples_per_shard: Images a shard.
        prefix: The shards' common name; by default the source folder's.
        settings: See :func:`collect`.

    Returns:
        The shards' URLs.

    Raises:
        OSError: If there are no images, or a file is missing or not to be read or written.
        ValueError: If it is unclear what a label is, an image would be lost, or ``destination`` lies in ``source``
            and no CSV file is named.
        ConfigMismatchError: If ``destination`` holds shards of other images or sizes.
    """
    if labels is None:
        refuse_inside(destination, source)
    collection = collect(source, labels, settings)
    for note in collection.notes:
        logger.warning("%s", note)
    return pack_images(collection.images, destination, samples_per_shard, prefix or collection.name, collection.classes)


def collect(source: str, labels: str | None = None, settings: LabelSettings | None = None) -> Collection:
    """Find the images of a folder and their labels.

    Args:
        source: Local folder, a path or a ``file://`` URL, with one folder a class, or with the images that a CSV file
            names.
        labels: The CSV file; by default ``labels.csv`` in a folder without class folders.
        settings: How labels are read.

    Raises:
        OSError: If there are no images, or a file is missing or cannot be read.
        ValueError: If it is unclear what a label is, or an image would be lost.
    """
    folder, settings, left_out = _local_folder(source), settings or LabelSettings(), LeftOut()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {source}")
    table, notes = _table(folder, labels)
    if table is not None:
        root, images, listed_notes = read_listed(folder, table, settings, left_out)
        classes: dict[int, str] = {}
        notes += listed_notes
    else:
        _refuse_columns(settings, folder)
        root = folder
        images, classes, class_notes = read_class_folders(folder, settings, left_out)
        notes += class_notes
    return Collection(folder.resolve().name, with_keys(root, images), classes, notes + left_out.notes())


def refuse_inside(place: str, images: str) -> None:
    """Make sure that nothing is written among class folders: the next run would take it for one without images.

    Args:
        place: URL of the folder that is written.
        images: The folder of images.

    Raises:
        ValueError: If the one is, or lies in, the other, whichever way they are named.
    """
    local, folder = storage.local_path(place), _local_folder(images)
    if local is not None and local.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{redact(place)} lies in the folder of images {images}; choose one outside of it")


def _local_folder(source: str) -> Path:
    return Path(source) if Path(source).is_dir() else storage.local_path(source) or Path(source)


def is_image_folder(url: str) -> bool:
    """Tell whether a URL is a local folder of images with labels, in class folders or in its CSV, without shards."""
    folder = storage.local_path(url)
    if folder is None or not folder.is_dir() or any(folder.glob("*.tar")):
        return False
    if any(_holds_images(folder / name) for name in class_names(folder)):
        return True
    return (folder / TABLE).is_file() and any(
        is_image_name(entry.name) and not is_system_file(entry.name) for entry in entries(folder)
    )


def _holds_images(folder: Path) -> bool:
    try:
        return any(True for _ in walk(folder, LeftOut()))
    except ValueError:  # images whose class is unclear; who packs them is told, unless a CSV file says it
        return True


def _table(folder: Path, labels: str | None) -> tuple[Path | None, list[str]]:
    """Return the CSV file to read, if any, and what is to be said about that."""
    table = folder / TABLE
    if labels is not None or not table.is_file():
        return (None if labels is None else Path(labels)), []
    if IMAGE_FOLDERS.issuperset(class_names(folder)):
        return table, []
    return None, [f"{table} is not read, since there are class folders; if it is to be, name it with --labels"]


def _refuse_columns(settings: LabelSettings, folder: Path) -> None:
    for role in ("image", "label", "target"):
        if getattr(settings, f"{role}_column") is not None:
            raise ValueError(f"--{role}-column is for a CSV file; name it with --labels, or put {TABLE} into {folder}")
