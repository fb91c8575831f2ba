"""Tables and figures from the results of an evaluation."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lit_adv.metrics import Rate, TransferResult


class Cell(NamedTuple):
    """What one attack achieves against one target.

    Attributes:
        attack: The user's name of the attack.
        surrogate: The specs of the models that were attacked.
        target: The target's name.
        white_box: Whether the target runs on weights that the attack saw, defended or not.
        budget: The attack's L-infinity budget, in grey levels; None if it had none.
        paper: The paper's success rate, in [0, 1]; None if it has none.
        result: The counts and rates.
    """

    attack: str
    surrogate: str
    target: str
    white_box: bool
    budget: int | None
    paper: float | None
    result: TransferResult

    def row(self) -> dict[str, Any]:
        """Return one flat row of a table; what is not known is None."""
        row = {**self._asdict(), **self.result.row()}
        del row["result"]
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def to_json(cells: Sequence[Cell]) -> bytes:
    """Return the cells as a JSON list, one object a pair of an attack and a target."""
    return (json.dumps([cell.row() for cell in cells], indent=1, allow_nan=False) + "\n").encode()


def to_csv(cells: Sequence[Cell]) -> bytes:
    """Return the cells as CSV, one row a pair of an attack and a target."""
    return rows_to_csv([cell.row() for cell in cells]).encode()


def rows_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one or more rows of equal keys as CSV, with the keys as its head."""
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def to_markdown(cells: Sequence[Cell], reference: bool = False) -> str:
    """Lay the success rates out as the paper's tables do: a row for each attack, a column for each target.

    Args:
        cells: The results, with every pair of an attack and a target.
        reference: Whether to put the paper's number beside each, where there is one.

    Returns:
        A Markdown table, aligned to be read as it is, and what its signs mean.
    """
    targets = list(dict.fromkeys(cell.target for cell in cells))
    table = [["Model", "Attack", *targets, "Average"]]
    for row in _rows(cells):
        table.append([row[0].surrogate, row[0].attack, *(_text(cell, reference) for cell in row), _mean(row)])
        if any(cell.result.targeted_success.total for cell in row):
            aimed = [_percent(cell.result.targeted_success) + _star(cell) for cell in row]
            table.append([row[0].surrogate, f"{row[0].attack}, class aimed at", *aimed, ""])
    notes = ["Images that are misclassified, in %; in parentheses the accuracy on the clean images."]
    if any(cell.white_box for cell in cells):
        notes.append("A star marks a white-box result: the attack saw the target's weights.")
    if reference and any(cell.paper is not None for cell in cells):
        notes.append("In brackets the number of Lin et al. (2020).")
    if any(cell.result.abstention.hits for cell in cells):
        notes.append("An abstention counts as misclassified.")
    checked = [row[0] for row in _rows(cells) if row[0].budget is not None]
    if checked:
        notes.append(f"Images beyond the perturbation budget: {sum(cell.result.breaches for cell in checked)}.")
    return "\n".join([*_aligned(table), "", *notes]) + "\n"


@rc_context({"text.parse_math": False})  # names may hold dollar signs
def heat_map(cells: Sequence[Cell]) -> bytes:
    """Draw the success rates, attacks by targets.

    Args:
        cells: The results, with every pair of an attack and a target.

    Returns:
        A PNG file's content.
    """
    rows = _rows(cells)
    values = 100 * np.array([[cell.result.success.value for cell in row] for row in rows])
    figure = Figure(figsize=(4 + 0.8 * values.shape[1], 4 + 0.5 * values.shape[0]), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    axes.set_title("Misclassified images (%), * white-box")
    axes.set_xticks(range(values.shape[1]), [cell.target for cell in rows[0]], rotation=45, ha="right")
    axes.set_yticks(range(values.shape[0]), [row[0].attack for row in rows])
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            color = "black" if values[y, x] > 60 else "white"
            axes.text(x, y, _percent(cell.result.success) + _star(cell), color=color, ha="center", va="center")
    figure.colorbar(image)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def _rows(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Group the cells by attack, in their order."""
    return [[cell for cell in cells if cell.attack == attack] for attack in dict.fromkeys(c.attack for c in cells)]


def _text(cell: Cell, reference: bool) -> str:
    paper = f" [{100 * cell.paper:.1f}]" if reference and cell.paper is not None else ""
    return f"{_percent(cell.result.success)}{_star(cell)} ({_percent(cell.result.clean_accuracy)}){paper}"


def _mean(row: Sequence[Cell]) -> str:
    return f"{100 * sum(cell.result.success.value for cell in row) / len(row):.1f}"


def _percent(rate: Rate) -> str:
    return f"{100 * rate.value:.1f}"


def _star(cell: Cell) -> str:
    return "*" if cell.white_box else ""


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; names stand left, numbers right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    left = [number < 2 for number in range(len(widths))]

    def line(row: Sequence[str]) -> str:
        texts = (
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(row, widths, left, strict=True)
        )
        return f"| {' | '.join(texts)} |"

    rules = ["-" * width if to_left else "-" * (width - 1) + ":" for width, to_left in zip(widths, left, strict=True)]
    return [line(table[0]), line(rules), *map(line, table[1:])]
