"""The paper's figures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from lit_adv.pictures import read_pairs
from lit_adv.reproduction.experiments import PAIRS_PICTURED, STABLE, pretty
from lit_adv.reproduction.tables import Cell

#: The formats that figures are written in.
FORMATS = ("png", "svg")


def draw_losses(scales: Sequence[float], losses: Mapping[str, Sequence[float]]) -> Figure:
    """Draw Figure 1.

    Args:
        scales: Factors of the images.
        losses: Each model's mean loss at these.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(*STABLE, color="0.93", label="stable in the paper")
    for name, values in losses.items():
        axes.plot(scales, values, marker="o", markersize=3, label=name)
    axes.set(xlabel="Scale size", ylabel="Average loss")
    axes.legend()
    return figure


def draw_curves(cells: Mapping[int, Sequence[Cell]]) -> Figure:
    """Draw Figure 2, a panel for each target, with 95 % intervals.

    Args:
        cells: The cells of all attacks and targets by the number of iterations.
    """
    steps = list(cells)
    targets = list(dict.fromkeys(cell.target for cell in cells[steps[0]]))
    attacks = list(dict.fromkeys(cell.attack for cell in cells[steps[0]]))
    columns = min(len(targets), 4)
    rows = math.ceil(len(targets) / columns)
    figure = Figure(figsize=(3.4 * columns, 3 * rows), layout="constrained")
    for number, target in enumerate(targets, start=1):
        axes = figure.add_subplot(rows, columns, number)
        for attack in attacks:
            row = [cell for at in steps for cell in cells[at] if (cell.target, cell.attack) == (target, attack)]
            rates = [100 * cell.success for cell in row]
            bars = [[100 * (c.success - c.low) for c in row], [100 * (c.high - c.success) for c in row]]
            axes.errorbar(steps, rates, bars, marker="o", markersize=3, capsize=2, label=pretty(attack))
        axes.set_title(target + "*" * row[0].white_box)
        axes.set(xlabel="Iterations", ylabel="Success (%)", xticks=steps)
    axes.legend()
    return figure


def draw_pairs(shards: str) -> Figure:
    """Draw Figure 3: pairs of a clean image and, below it, the adversarial one.

    Args:
        shards: A folder of adversarial shards.
    """
    pairs = list(read_pairs(shards, PAIRS_PICTURED))
    columns = math.ceil(PAIRS_PICTURED / 2)
    rows = 2 * math.ceil(len(pairs) / columns)
    figure = Figure(figsize=(1.6 * columns, 1.75 * rows), layout="constrained")
    for number, (clean, adversarial, _) in enumerate(pairs):
        for image, kind, below in ((clean, "clean", 0), (adversarial, "adversarial", 1)):
            row = 2 * (number // columns) + below
            axes = figure.add_subplot(rows, columns, row * columns + number % columns + 1)
            axes.imshow(image.permute(1, 2, 0).numpy())
            axes.set(xticks=[], yticks=[], ylabel=kind if number % columns == 0 else "")
    return figure


def to_file(figure: Figure, form: str) -> bytes:
    """Return a figure as a file of one of :data:`FORMATS`, the same bytes each time."""
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "lit_adv"}):
        figure.savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return file.getvalue()
