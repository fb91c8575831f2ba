"""What a sample's text files say: its label, and the class that an attack aims at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lit_adv.shards.tar import SampleError


@dataclass(frozen=True, kw_only=True)
class LabelReader:
    """Reads class indices.

    Attributes:
        num_classes: Labels lie in [0, num_classes).
        label_field: ``cls`` for the sample's ``cls`` file; any other name is a field of its ``json`` file.
        target_field: Field of the ``json`` file that holds the target class; None if there are no targets.
    """

    num_classes: int = 1000
    label_field: str = "cls"
    target_field: str | None = None

    def label(self, files: Mapping[str, bytes]) -> int:
        """Return a sample's label; its image need not be among the files.

        Raises:
            SampleError: If there is no label in range.
        """
        return self._class_index(files, self.label_field)

    def target(self, files: Mapping[str, bytes]) -> int | None:
        """Return the class that a sample's image is to be taken for; None if the data names no targets.

        Raises:
            SampleError: If there is no target in range.
        """
        return None if self.target_field is None else self._class_index(files, self.target_field)

    def aim(self, files: Mapping[str, bytes]) -> int | None:
        """Return the class that the attack on a stored sample aimed at, as its record says; None if it was untargeted.

        Raises:
            SampleError: If there is no record, or the class is not in range.
        """
        record = _json(files)
        if isinstance(record, dict) and "target" not in record:
            return None
        return self._class_index(files, "target")

    def _class_index(self, files: Mapping[str, bytes], field: str) -> int:
        value = _text(files, "cls").strip() if field == "cls" else _json_field(files, field)
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise SampleError(f"{field} is not an integer: {str(value)[:40]!r}")
        if not 0 <= value < self.num_classes:
            raise SampleError(f"{field} {value} is not in [0, {self.num_classes})")
        return value


def _text(files: Mapping[str, bytes], extension: str) -> str:
    if extension not in files:
        dotted = sorted(name for name in files if "." in name)
        why = f", but {', '.join(dotted[:5])}: a sample's files are named alike up to the first dot" if dotted else ""
        raise SampleError(f"no class index: there is no {extension} file{why}")
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
