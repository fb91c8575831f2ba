"""From shards to a folder of PNG files with a CSV file of labels, as tools read it that know no shards."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from lit_adv.errors import MendableError
from lit_adv.packing.keys import TARGET_FIELD, hashed, plain
from lit_adv.packing.staging import staged_folder
from lit_adv.shards import storage
from lit_adv.shards.decode import decode_image
from lit_adv.shards.encode import encode_image
from lit_adv.shards.labels import LabelReader
from lit_adv.shards.listing import IMAGE_EXTENSIONS, list_shards, shard_name
from lit_adv.shards.remote import redact
from lit_adv.shards.tar import SampleError, ShardError, index_samples, read_sample

IMAGES, CLEAN, TABLE = "images", "clean", "labels.csv"

_ROWS = ".rows.csv"  # of the table in the making
_HEADER = ("filename", "label", "targeted_label")
_LONGEST_NAME = 200  # without the extension; file systems take 255 bytes
_ANY_CLASS = 10**9
_NAMED = 5  # samples left out that are named


@dataclass
class Unpacked:
    """What became of some shards.

    Attributes:
        images: How many images were written.
        targets: How many of them have a target.
        left_out: How many samples could not be used.
        reasons: Why, of the first few.
    """

    images: int = 0
    targets: int = 0
    left_out: int = 0
    reasons: list[str] = field(default_factory=list)


class _Sample(NamedTuple):
    """A decoded sample: PNG files, its label and the class that an attack aims at."""

    image: bytes
    clean: bytes | None
    label: int
    target: int | None


def unpack(
    shards: str, folder: str, clean: bool = False, class_folders: bool = False, label_field: str = "cls"
) -> Unpacked:
    """Write the images of shards into a folder.

    The folder gets ``images/KEY.png``, ``labels.csv`` with the columns ``filename``, ``label`` and, if there are
    targets, ``targeted_label``, and ``clean/KEY.png`` on request; the pixels are those of the shards. It appears as a
    whole when all is written.

    Args:
        shards: See :func:`lit_adv.shards.listing.list_shards`.
        folder: Local folder; it must be empty, or not be there.
        clean: Whether to write the clean images, too.
        class_folders: Whether images lie in a folder a class, ``images/00207/KEY.png``.
        label_field: ``cls`` for the samples' ``cls`` files; any other name is a field of their ``json`` files.

    Returns:
        What came of it.

    Raises:
        OSError: If a shard is missing, or the folder cannot be written or holds anything.
        ValueError: If ``folder`` is not local.
        MendableError: If a shard is damaged, has no clean images, or none of its samples can be used.
    """
    place = storage.local_path(folder)
    if place is None:
        raise ValueError(f"{redact(folder)} is not a local folder")
    urls = list_shards(shards)
    reader = LabelReader(num_classes=_ANY_CLASS, label_field=label_field)
    with staged_folder(place, (IMAGES, CLEAN, TABLE, _ROWS)) as staging:
        made = Unpacked()
        with (staging / _ROWS).open("w", newline="") as rows:
            writer = _Writer(staging, rows, class_folders, made)
            for url in urls:
                _unpack_shard(url, writer, reader, clean)
        if not made.images:
            raise MendableError(
                f"no sample of {redact(shards)} can be used: {'; '.join(made.reasons) or 'it has none'}"
            )
        _write_table(staging, with_targets=made.targets > 0)
    return made


class _Writer:
    """Writes samples into a folder, each under a name of its own.

    Args:
        folder: The folder.
        rows: Takes the table's rows.
        class_folders: Whether images lie in a folder a class.
        made: Is counted up.
    """

    def __init__(self, folder: Path, rows: IO[str], class_folders: bool, made: Unpacked) -> None:
        self._folder = folder
        self._rows = csv.writer(rows, lineterminator="\n")
        self._class_folders = class_folders
        self.made = made

    def add(self, sample: _Sample, key: str, identity: str) -> None:
        """Write a sample; ``identity`` tells it from all others, of the same key, too."""
        inner = f"{sample.label:05d}/" if self._class_folders else ""
        (self._folder / IMAGES / inner).mkdir(parents=True, exist_ok=True)
        name = f"{inner}{_file_name(key)}.png"
        try:
            file = (self._folder / IMAGES / name).open("xb")
        except FileExistsError:  # the key of another shard, or one that differs in what this disk ignores
            name = f"{inner}{hashed(key, identity)}.png"
            file = (self._folder / IMAGES / name).open("xb")
        with file:
            file.write(sample.image)
        if sample.clean is not None:
            (self._folder / CLEAN / inner).mkdir(parents=True, exist_ok=True)
            (self._folder / CLEAN / name).write_bytes(sample.clean)
        self._rows.writerow((name, sample.label, "" if sample.target is None else sample.target))
        self.made.images += 1
        self.made.targets += sample.target is not None


def _file_name(key: str) -> str:
    """Return a file name, without the extension, that no other key has."""
    safe = plain(key) == key and len(key) <= _LONGEST_NAME
    return key if safe else hashed(key, key)


def _unpack_shard(url: str, writer: _Writer, reader: LabelReader, clean: bool) -> None:
    try:
        with storage.staged(url) as file:
            for number, sample in enumerate(index_samples(file, url)):
                try:
                    decoded = _decode(read_sample(file, sample), reader, clean)
                except SampleError as error:
                    writer.made.left_out += 1
                    if len(writer.made.reasons) < _NAMED:
                        writer.made.reasons.append(f"{redact(url)}, sample {sample.key!r}: {error}")
                    continue
                writer.add(decoded, sample.key, f"{shard_name(url)}/{number}")
    except ShardError as error:
        raise MendableError(f"{error}; if lit-adv generate made it, run lit-adv verify FOLDER --repair") from error


def _decode(files: Mapping[str, bytes], reader: LabelReader, clean: bool) -> _Sample:
    """Decode a sample.

    Raises:
        SampleError: If it has no label, or not one image.
        MendableError: If it has no clean image, and is to have one.
    """
    image, before = _png(files, ""), _png(files, "clean.") if clean else None
    return _Sample(image, before, reader.label(files), _target(files, reader))


def _png(files: Mapping[str, bytes], prefix: str) -> bytes:
    extensions = [extension for extension in IMAGE_EXTENSIONS if f"{prefix}{extension}" in files]
    if not extensions and prefix:
        raise MendableError("the shards hold no clean images; generate them with --output.clean_images true")
    if len(extensions) > 1:
        raise SampleError(f"it has more than one image: {', '.join(extensions)}")
    image = decode_image({extension: files[f"{prefix}{extension}"] for extension in extensions})
    return encode_image(np.asarray(image), "png")


def _target(files: Mapping[str, bytes], reader: LabelReader) -> int | None:
    """Return the class that the attack on a sample aimed at, or is to aim at; None if its record names none."""
    try:
        record = json.loads(files.get("json", b"{}"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    field = "target" if "source_shard" in record else TARGET_FIELD  # of generation, or of packing
    return LabelReader(num_classes=reader.num_classes, target_field=field).target(files) if field in record else None


def _write_table(folder: Path, with_targets: bool) -> None:
    width = len(_HEADER) if with_targets else len(_HEADER) - 1
    with (folder / _ROWS).open(newline="") as rows, (folder / TABLE).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_HEADER[:width])
        table.writerows(row[:width] for row in csv.reader(rows))
    (folder / _ROWS).unlink()
