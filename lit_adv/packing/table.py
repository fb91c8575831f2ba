"""A CSV file of images: which columns it has, and which of them say what."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from lit_adv.packing.settings import LabelSettings

# Names of columns, in small letters without anything between them.
_IMAGE = {
    "file", "filename", "filepath", "image", "imagefile", "imagefilename", "imageid", "imagename", "imagepath",
    "img", "imgid", "imgname", "imgpath", "name", "path",
}  # fmt: skip
_LABEL = {
    "class", "classid", "classidx", "classindex", "groundtruth", "label", "labelid", "labelidx", "labelindex",
    "labels", "truelabel",
}  # fmt: skip
_TARGET = {"targetclass", "targetedclass", "targetedlabel", "targetlabel"}
#: Many call the true label so, but in this field it is what an attack aims at.
_UNCLEAR = {"target", "targets"}
_FORMS = "filename,label or filename,label,targeted_label"


class Row(NamedTuple):
    """A line of the table that names an image.

    Attributes:
        line: Its number in the file, from 1.
        image: The image's name.
        label: Its label, as it is written.
        target: The class that an attack is to aim at, as it is written; empty if none is named.
    """

    line: int
    image: str
    label: str
    target: str


class Columns(NamedTuple):
    """Which columns say what, by number; ``label_name`` is None without a header."""

    image: int
    label: int
    target: int | None
    label_name: str | None


class Table(NamedTuple):
    """An open table.

    Attributes:
        rows: Its rows, read as they are asked for.
        columns: Which columns say what.
    """

    rows: Iterator[Row]
    columns: Columns


def read_table(path: Path, folder: Path, settings: LabelSettings) -> Table:
    """Read a CSV file, separated by commas, semicolons or tabs.

    A header's names decide the columns. Without a header there must be two, image and label.

    Args:
        path: The file.
        folder: Where its images are; an image's name in the first line tells data from a header.
        settings: The columns that the user names.

    Returns:
        The table; reading its rows raises ValueError for a line that cannot be used.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such file, or it is unclear which column says what.
    """
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        return Table(iter(()), Columns(0, 1, None, None))
    line, cells = first
    named = settings.image_column or settings.label_column or settings.target_column
    if named or _is_header(cells):
        columns = _columns(path, line, cells, settings)
        return Table(_rows(path, lines, len(cells), columns), columns)
    if len(cells) < 2:
        raise ValueError(
            f"{path}, line {line}: need a file name and a label, a comma, a semicolon or a tab between, got {cells}"
        )
    if len(cells) > 2 or not (re.fullmatch("-?[0-9]+", cells[1]) or (folder / cells[0]).is_file()):
        raise ValueError(
            f"{path}, line {line}: no known header ({', '.join(cells)}); begin with {_FORMS}, or name the columns with "
            "--image-column and --label-column"
        )
    columns = Columns(0, 1, None, None)
    return Table(_rows(path, chain([first], lines), 2, columns), columns)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of every line that is not empty."""
    with path.open("rb") as binary:
        if binary.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError(f"{path} is UTF-16 text; save it as CSV in UTF-8")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = next((line for line in file if line.strip()), "")
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=head.count), strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None


def _rows(path: Path, lines: Iterator[tuple[int, list[str]]], width: int, columns: Columns) -> Iterator[Row]:
    for line, cells in lines:
        if len(cells) != width:
            need = "need a file name and a label" if width == 2 else f"need {width} columns, as the header has"
            raise ValueError(f"{path}, line {line}: {need}, got {cells}")
        target = "" if columns.target is None else cells[columns.target]
        yield Row(line, cells[columns.image], cells[columns.label], target)


def _is_header(cells: Sequence[str]) -> bool:
    known = _IMAGE | _LABEL | _TARGET | _UNCLEAR
    return any(_plain(cell) in known for cell in cells) and not any(re.fullmatch("-?[0-9]+", cell) for cell in cells)


def _columns(path: Path, line: int, header: Sequence[str], settings: LabelSettings) -> Columns:
    where = f"{path}, line {line}"
    image = _find(where, header, settings.image_column, _IMAGE, "image")
    label = _find(where, header, settings.label_column, _LABEL, "label")
    target = _find(where, header, settings.target_column, _TARGET, "target")
    if image is None or label is None:
        role = "image" if image is None else "label"
        raise ValueError(
            f"{where}: no column is known to hold the {role}; there are {', '.join(header)}; name it with "
            f"--{role}-column"
        )
    unclear = [name for number, name in enumerate(header) if _plain(name) in _UNCLEAR and number not in (label, target)]
    if unclear:
        raise ValueError(
            f"{where}: the column {unclear[0]!r} may be the label or what an attack is to aim at; say which with "
            f"--label-column {unclear[0]} or --target-column {unclear[0]}"
        )
    if len({image, label, target}) < 3:
        raise ValueError(f"{where}: one column cannot be two of image, label and target")
    return Columns(image, label, target, header[label])


def _find(where: str, header: Sequence[str], wanted: str | None, known: set[str], role: str) -> int | None:
    """Return the number of a role's column; None if there is none, and the user names none."""
    if wanted is not None:
        found = [number for number, name in enumerate(header) if name == wanted]
        found = found or [number for number, name in enumerate(header) if _plain(name) == _plain(wanted)]
        if not found:
            raise ValueError(f"{where}: there is no column {wanted!r} among {', '.join(header)}")
    else:
        found = [number for number, name in enumerate(header) if _plain(name) in known]
    if len(found) > 1:
        names = " and ".join(repr(header[number]) for number in found)
        raise ValueError(f"{where}: {names} may both hold the {role}; choose one with --{role}-column")
    return found[0] if found else None


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
