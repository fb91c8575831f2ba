"""From a CSV file to labeled images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from lit_adv.packing.imagenet import imagenet_indices, is_wordnet_id
from lit_adv.packing.keys import Labeled
from lit_adv.packing.settings import LabelSettings
from lit_adv.packing.table import Columns, Row, read_table
from lit_adv.packing.walk import LeftOut, entries, is_system_file
from lit_adv.shards.listing import is_image_name


class ListedImages(NamedTuple):
    """The images that a CSV file names.

    Attributes:
        folder: Where their names begin.
        images: The images, in the file's order.
        notes: What the user should know.
    """

    folder: Path
    images: list[Labeled]
    notes: list[str]


def read_listed(folder: Path, table: Path, settings: LabelSettings, left_out: LeftOut) -> ListedImages:
    """Read the images that a CSV file names, in ``folder`` or in its folder ``images``.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If a line cannot be used; the message names it.
    """
    rows, columns = read_table(table, folder, settings)
    _check_columns(table, columns, settings)
    first = next(rows, None)
    if first is None:
        raise FileNotFoundError(f"{table} names no images")
    finder = _choose_finder(folder, table, first)
    images = list(_images(table, chain([first], rows), finder, settings, left_out))
    if not images:
        raise FileNotFoundError(f"{table} names no images that can be packed")
    notes = [_describe(table, columns, images, settings), *_doubts(images, settings)]
    if others := _count_others(images, left_out):
        notes.append(f"{others} images beside those that {table.name} names are left out")
    return ListedImages(finder.folder, images, notes)


class _Finder:
    """Finds images by names that may lack the extension.

    Args:
        folder: Where names begin; also an attribute.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stems: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> list[Path]:
        """Return the files that a name may stand for."""
        for path in (self.folder / name, self.folder / name.replace("\\", "/")):
            if path.is_file():
                return [path]
        return [] if is_image_name(name) else self._in_folder(path.parent).get(path.name, [])

    def _in_folder(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._stems:
            stems = defaultdict(list)
            for entry in entries(folder) if folder.is_dir() else ():
                if is_image_name(entry.name) and not is_system_file(entry.name) and entry.is_file():
                    stems[entry.name.rpartition(".")[0]].append(folder / entry.name)
            self._stems[folder] = stems
        return self._stems[folder]


def _choose_finder(folder: Path, table: Path, first: Row) -> _Finder:
    """Choose by the first image whether names begin in the folder or in its folder ``images``."""
    outer, inner = _Finder(folder), _Finder(folder / "images")
    outside, inside = outer.find(first.image), inner.find(first.image)
    if outside and inside and outside != inside:  # an absolute name means one file in both
        raise ValueError(
            f"{table}, line {first.line}: {first.image} is in {folder} and in {folder / 'images'}; remove one, or give "
            f"the folder that is meant: lit-adv pack {folder / 'images'} OUT --labels {table}"
        )
    return inner if inside and not outside else outer


def _images(
    table: Path, rows: Iterator[Row], finder: _Finder, settings: LabelSettings, left_out: LeftOut
) -> Iterator[Labeled]:
    for row in rows:
        where = f"{table}, line {row.line}"
        found = finder.find(row.image)
        if not found:
            raise FileNotFoundError(f"{where}: there is no file {finder.folder / row.image}")
        if len(found) > 1:
            raise ValueError(f"{where}: {row.image} may be {found[0]} or {found[1]}; name the extension")
        if is_image_name(found[0].name):
            label = _class_index(where, "label", row.label, row.image, settings)
            target = _class_index(where, "target", row.target, row.image, settings) if row.target else None
            yield Labeled(found[0], label, target)
            continue
        before = len(left_out.other_formats)
        left_out.add_file(found[0])
        if not settings.skip_other or len(left_out.other_formats) == before:
            raise ValueError(f"{where}: {found[0]} is not a jpg, jpeg, png or webp file; convert it")


def _class_index(where: str, role: str, text: str, image: str, settings: LabelSettings) -> int:
    if settings.classes == "imagenet" and is_wordnet_id(text):
        if text not in imagenet_indices():
            raise ValueError(f"{where}: the {role} {text} of {image} is none of ImageNet's 1000 classes")
        return imagenet_indices()[text]
    if not re.fullmatch("[0-9]{1,9}", text):
        remedy = "; WordNet ids are read with --classes imagenet" if is_wordnet_id(text) else ""
        raise ValueError(f"{where}: the {role} {text!r} of {image} is not a class index{remedy}")
    try:
        return settings.shift(int(text))
    except ValueError as error:
        raise ValueError(f"{where}: the {role} of {image}, {error}") from None


def _check_columns(table: Path, columns: Columns, settings: LabelSettings) -> None:
    """Refuse labels of which it is unclear whether they count from 0 or from 1."""
    competition = (columns.label_name or "").lower() == "truelabel"
    if settings.classes == "nips2017" and not competition and settings.label_column is None:
        raise ValueError(
            f"{table} has no column TrueLabel, as the CSV file of --classes nips2017 has; if its labels are ImageNet's "
            "and count from 0, use --classes imagenet"
        )
    if competition and settings.classes is None and settings.label_offset is None:
        raise ValueError(
            f"{table}: the column TrueLabel counts from 1 in the NIPS 2017 competition, and from 0 in other files; say "
            "which it is: --classes nips2017, or --label-offset 0"
        )


def _describe(table: Path, columns: Columns, images: list[Labeled], settings: LabelSettings) -> str:
    labels = [label for _, label, _ in images]
    column = "second column" if columns.label_name is None else f"column {columns.label_name}"
    offset = f" {'+-'[settings.offset < 0]} {abs(settings.offset)}" if settings.offset else ""
    targets = sum(target is not None for _, _, target in images)
    aimed = "" if columns.target is None else f"; {targets} of {len(images)} images have a target"
    return f"labels are the {column} of {table}{offset}: {min(labels)} to {max(labels)}{aimed}"


def _count_others(images: list[Labeled], left_out: LeftOut) -> int:
    """Return how many images lie beside those that are named."""
    known = {path for path, _, _ in images} | set(left_out.other_formats)
    beside = LeftOut()
    for folder in {path.parent for path in known}:
        for entry in entries(folder):
            path = folder / entry.name
            if path not in known and is_image_name(entry.name) and not is_system_file(entry.name):
                beside.stray_images.append(path)
            elif path not in known:
                beside.add_file(path)
    return len(beside.stray_images) + len(beside.other_formats)


def _doubts(images: list[Labeled], settings: LabelSettings) -> list[str]:
    labels = {label for _, label, _ in images}
    if settings.class_count is None and settings.label_offset is None and 0 not in labels and 1000 in labels:
        return ["no label is 0 and the highest known to ImageNet is 999: if they count from 1, add --label-offset -1"]
    return []
