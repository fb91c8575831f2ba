"""Charts within a page: Matplotlib's SVG, in the page's own font and colors."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from markupsafe import Markup
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: A line: its points' x and y.
Line = tuple[Sequence[float], Sequence[float]]

_INK = "#010203"  # stands for the page's color of text, which is another one in dark mode
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lit_adv",
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.alpha": 0.15,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}
_LONG = 24  # characters of a name, of which four stand side by side
# Both the color and the pattern change from line to line, so that the lines are told apart on paper, too.
_PATTERNS = ("-", "--", ":", "-.")
_GROUP_ID = re.compile(r'<g id="[^"]*"')  # nothing refers to these, and no two charts of a page may share them


def draw_lines(
    lines: Mapping[str, Line],
    *,
    x_label: str,
    y_label: str,
    percent: bool = True,
    whole_x: bool = False,
    markers: bool = False,
    log_y: bool = False,
    from_zero: bool = False,
) -> Markup:
    """Draw lines.

    Args:
        lines: One or more, by the name that the legend below shows; of one alone, no legend.
        x_label: What x is, with its unit.
        y_label: What y is, with its unit.
        percent: Whether y is a share in percent, so that the axis goes from 0 to 100.
        whole_x: Whether x are whole numbers.
        markers: Whether to mark the points.
        log_y: Whether y is on a logarithmic scale.
        from_zero: Whether the axis of y begins at 0.

    Returns:
        An SVG element, with names escaped; the same for the same arguments.
    """
    with rc_context(_STYLE):
        columns = 2 if max(map(len, lines)) > _LONG else 4
        figure = Figure(figsize=(8, 3.2 + 0.19 * math.ceil(len(lines) / columns)), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot(facecolor="none")
        colors, patterns = cycle(colormaps["tab10"].colors), cycle(_PATTERNS)  # type: ignore[attr-defined]
        for (name, (x, y)), color, pattern in zip(lines.items(), colors, patterns, strict=False):
            axes.plot(x, y, pattern, color=color, marker="o" if markers else "", markersize=4, label=" " + name)
        axes.set(xlabel=x_label, ylabel=y_label)
        if percent:
            axes.set_ylim(-2, 102)
        if from_zero:
            axes.set_ylim(0, 1.08 * max(max(y) for _, y in lines.values()) or 1)
        if log_y:
            axes.set_yscale("log")
        if whole_x:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(lines) > 1:
            figure.legend(loc="outside lower left", ncols=columns, frameon=False)
        return _to_svg(figure)


def _to_svg(figure: Figure) -> Markup:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    return Markup(_GROUP_ID.sub("<g", svg))  # noqa: S704  # Matplotlib escapes the texts in it
