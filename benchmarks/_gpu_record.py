"""Where the parts of benchmarks/gpu.py put their numbers: a file of lines, so that what is measured stays."""

import json
from pathlib import Path
from typing import Any

Measurement = dict[str, Any]


class Record:
    """The measurements of all parts in one folder.

    Args:
        folder: Holds the file; shared by the parts' processes, one after the other.
        part: The part that measures.
        scratch: Folder of what a part makes and a later one uses.
    """

    def __init__(self, folder: Path, part: str, scratch: Path) -> None:
        self.scratch = scratch
        self._part = part
        self._file = folder / "measured.jsonl"

    def add(self, what: str, *about: object, **numbers: Any) -> None:
        """Add a measurement.

        Args:
            what: What was measured.
            *about: On what: network, precision and the like.
            **numbers: Results by their units; underscores become spaces.
        """
        line = {"part": self._part, "what": what, "about": list(about), **numbers}
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(_what(line), "|", _result(line), flush=True)

    def read(self) -> list[Measurement]:
        """Return everything that is measured so far."""
        return [json.loads(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []

    def clear(self) -> None:
        """Begin anew."""
        self._file.unlink(missing_ok=True)


def to_markdown(report: Measurement) -> str:
    """Lay out a report as tables."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items() if value)
    lines = [f"Measured on: {machine}.", "", "| what | result |", "|---|---|"]
    lines += [f"| {_what(row)} | {_result(row)} |" for row in report.get("measured", ())]
    notes = [f"- {part}: {entry['note']}" for part, entry in report["parts"].items() if entry["note"]]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _what(row: Measurement) -> str:
    return ", ".join([row["what"], *map(str, row["about"])])


def _result(row: Measurement) -> str:
    numbers = [(name.replace("_", " "), value) for name, value in row.items() if name not in ("part", "what", "about")]
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers
    )
