"""Tables and a plot from the frontier's records.

A success is an image that the target classifies correctly when it is clean and wrongly when it is attacked, of all that
it classifies correctly. Schedules are compared image by image: the interval of a difference is the normal one of 95 %
over the images, each of which stands in the results of all surrogates, budgets and targets at once.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from lit_adv.attacks import list_attacks

BASE = "si_ni_ti_dim"
DEFENSES = ("rp", "fd", "jpeg", "comdefend")
BUDGETS = (5, 10, 20, 30, 50, 100)
Outcome = npt.NDArray[np.float64]


class Cell(NamedTuple):
    """One place of the comparison: who was attacked, by how many grey levels, and who was to be fooled."""

    surrogate: str
    levels: int
    target: str

    def __str__(self) -> str:
        return f"{self.target} from {self.surrogate}, {self.levels}/255"


class Difference(NamedTuple):
    """A difference of success in points of a hundred, with half the width of its 95 % interval."""

    value: float
    margin: float

    def __str__(self) -> str:
        return f"{self.value:+.1f} ± {self.margin:.1f}"


@dataclass
class Result:
    """What a schedule achieves.

    Attributes:
        passes: Passes of the surrogate an image.
        settings: Those of the attack.
        speed: For each surrogate and budget, images a second of a GPU, or of a CPU's time.
        fooled: For each cell 1 or 0 of each image; NaN where the target is wrong about the clean image.
    """

    passes: int
    settings: dict[str, Any]
    speed: dict[tuple[str, int], float] = field(default_factory=dict)
    fooled: dict[Cell, Outcome] = field(default_factory=dict)

    def mean(self, cells: Collection[Cell]) -> float:
        """Return the mean success over cells, in %."""
        return 100 * float(np.mean([np.nanmean(self.fooled[cell]) for cell in cells]))

    def against(self, other: "Result", cells: Collection[Cell]) -> Difference:
        """Return by how much the mean over cells is ahead of another schedule's."""
        paired = [self.fooled[cell] - other.fooled[cell] for cell in cells]
        means = [np.nanmean(difference) for difference in paired]
        # What each image adds to the mean of the cells, less what it would add if it were like the others.
        shares = [np.nan_to_num((d - m) / np.isfinite(d).sum()) for d, m in zip(paired, means, strict=True)]
        margin = 1.96 * float(np.sqrt(np.square(np.mean(shares, axis=0)).sum()))
        return Difference(100 * float(np.mean(means)), 100 * margin)


def read_results(folder: Path, halves: Sequence[str]) -> dict[str, Result]:
    """Read the records of one half of the images, or of both."""
    if missing := [half for half in halves if not (folder / f"clean.{half}.json").is_file()]:
        raise SystemExit(f"{folder} has no records of the {' and '.join(missing)} half: name the other one with --half")
    known = {half: json.loads((folder / f"clean.{half}.json").read_text())["correct"] for half in halves}
    records = [json.loads(path.read_text()) for path in folder.glob("*.json") if not path.name.startswith("clean.")]
    records = [record for record in records if record["half"] in halves]
    place = lambda record: (record["schedule"], record["surrogate"], record["levels"])  # noqa: E731
    results: dict[str, Result] = {}
    for (name, surrogate, levels), group in groupby(sorted(records, key=place), key=place):
        parts = {record["half"]: record for record in group}
        if len(parts) < len(halves):
            continue
        first = parts[halves[0]]
        result = results.setdefault(name, Result(first["passes"], first["settings"]))
        own = _without(result.settings, "eps", "step_size")  # which go with the budget
        if any(_without(part["settings"], "eps", "step_size") != own for part in parts.values()):
            raise SystemExit(f"{folder} has records of {name} with different settings: remove those of one of them")
        if "images_per_second" in first:
            result.speed[surrogate, levels] = first["images_per_second"]
        for target in set.intersection(*(set(part["fooled"]) for part in parts.values())):
            pieces = [_outcome(parts[half]["fooled"][target], known[half][target]) for half in halves]
            if np.isfinite(outcome := np.concatenate(pieces)).any():
                result.fooled[Cell(surrogate, levels, target)] = outcome
    return dict(sorted(results.items(), key=lambda item: (item[1].passes, item[0])))


def _without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in names}


def _outcome(fooled: str, correct: str) -> Outcome:
    return np.array([int(f) if c == "1" else np.nan for f, c in zip(fooled, correct, strict=True)], dtype=np.float64)


def write_report(folder: Path, half: str) -> str:
    """Write ``frontier.md``, ``frontier.png`` and ``frontier.svg`` beside the records.

    Args:
        folder: The records.
        half: ``first``, ``second`` or ``all``: the images that the report is about.

    Returns:
        The Markdown text.
    """
    results = read_results(folder, ("first", "second") if half == "all" else (half,))
    if BASE not in results:
        raise SystemExit(f"{folder} has no records of {BASE}, with which all others are compared")
    cells = [cell for cell in results[BASE].fooled if cell.target not in DEFENSES]
    if not cells:
        raise SystemExit(f"{folder} has no clean image that an unseen model classifies correctly")
    whole = {name: result for name, result in results.items() if set(cells) <= result.fooled.keys()}
    images = len(next(iter(whole[BASE].fooled.values())))
    defended = {name: r for name, r in whole.items() if results[BASE].fooled.keys() <= r.fooled.keys()}
    parts = [
        f"{images} images ({half}); success in %, of those that a target classifies correctly when clean.",
        _compare(whole, cells),
        _best(folder, whole, cells, half),
    ]
    if len(cells) < len(results[BASE].fooled):
        parts += ["With the defenses:", _compare(defended, list(results[BASE].fooled)), _by_target(defended)]
    if left_out := sorted(results.keys() - whole.keys()):
        parts.append(f"Not complete yet: {', '.join(left_out)}.")
    text = "\n\n".join(parts) + "\n"
    (folder / "frontier.md").write_text(text)
    figure = draw(whole, cells)
    figure.savefig(folder / "frontier.png", dpi=150)
    figure.savefig(folder / "frontier.svg")
    return text


def choose(folder: Path, budgets: Sequence[int]) -> list[str]:
    """Return the paper's schedule, and the best one of each number of passes by the first half of the images."""
    results = read_results(folder, ("first",))
    if BASE not in results:
        raise SystemExit(f"{folder} has no records of {BASE} on the first half, with which all others are compared")
    cells = [cell for cell in results[BASE].fooled if cell.target not in DEFENSES]
    whole = {name: result for name, result in results.items() if set(cells) <= result.fooled.keys()}
    return list(dict.fromkeys([BASE, *(best for budget in budgets if (best := _best_of(whole, cells, budget)))]))


def _best_of(results: Mapping[str, Result], cells: Sequence[Cell], budget: int) -> str | None:
    within = [name for name, result in results.items() if result.passes <= budget]
    return max(within, key=lambda name: results[name].mean(cells), default=None)


def _compare(results: Mapping[str, Result], cells: Sequence[Cell]) -> str:
    """Put every schedule beside the paper's."""
    groups = sorted({(cell.surrogate, cell.levels) for cell in cells}, key=lambda group: (group[1], group[0]))
    head = [f"{surrogate}, {levels}/255" for surrogate, levels in groups]
    table = [["schedule", "passes", *head, "mean", f"against {BASE}", "furthest behind"]]
    for name, result in results.items():
        means = [result.mean([cell for cell in cells if cell[:2] == group]) for group in groups]
        apart = {cell: result.against(results[BASE], [cell]) for cell in cells}
        worst = min(apart, key=lambda cell: apart[cell].value)
        row = [f"`{name}`", str(result.passes), *(f"{mean:.1f}" for mean in means), f"{result.mean(cells):.1f}"]
        ahead = str(result.against(results[BASE], cells))
        table.append([*row, "", ""] if name == BASE else [*row, ahead, f"{apart[worst]}: {worst}"])
    return _markdown(table)


def _by_target(results: Mapping[str, Result]) -> str:
    """Show the schedules' success on each target."""
    places = sorted({cell[:2] for cell in results[BASE].fooled}, key=lambda place: (place[1], place[0]))
    targets = sorted({cell.target for cell in results[BASE].fooled}, key=lambda target: (target in DEFENSES, target))
    table = [["surrogate", "schedule", "passes", "images/s", *targets]]
    for surrogate, levels in places:
        for name, result in results.items():
            shown = [Cell(surrogate, levels, target) for target in targets]
            rates = [f"{result.mean([cell]):.1f}" if cell in result.fooled else "-" for cell in shown]
            speed = f"{result.speed[surrogate, levels]:.2f}" if (surrogate, levels) in result.speed else "-"
            table.append([f"{surrogate}, {levels}/255", f"`{name}`", str(result.passes), speed, *rates])
    return _markdown(table)


def _best(folder: Path, results: Mapping[str, Result], cells: Sequence[Cell], half: str) -> str:
    """Name the best schedule of each number of passes: chosen by one half of the images, measured on the other."""
    chosen_by, shown_on = results, results
    if half == "all":
        chosen_by, shown_on = ({**read_results(folder, (part,))} for part in ("first", "second"))
    # In a half of few images, a target may be wrong about all clean ones.
    cells = [cell for cell in cells if cell in chosen_by[BASE].fooled and cell in shown_on[BASE].fooled]
    table = [["passes", "best schedule", "mean", f"against {BASE}"]]
    for budget in BUDGETS if cells else ():
        if best := _best_of({name: chosen_by[name] for name in results}, cells, budget):
            apart = shown_on[best].against(shown_on[BASE], cells)
            table.append([f"at most {budget}", f"`{best}`", f"{shown_on[best].mean(cells):.1f}", str(apart)])
    how = "chosen by the first half, measured on the second" if half == "all" else "chosen by the same images"
    return f"The best of each number of passes ({how}):\n\n{_markdown(table)}"


def _markdown(table: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def draw(results: Mapping[str, Result], cells: Sequence[Cell]) -> Figure:
    """Draw success against passes, a panel for each budget; schedules that differ in their steps alone are joined."""
    budgets = sorted({cell.levels for cell in cells})
    figure = Figure(figsize=(6.5 * len(budgets), 5.5), layout="constrained")
    for number, levels in enumerate(budgets, start=1):
        axes = figure.add_subplot(1, len(budgets), number)
        here = [cell for cell in cells if cell.levels == levels]
        points = {name: (result.passes, result.mean(here)) for name, result in results.items()}
        for family in _families(results):
            line = sorted(points[name] for name in family)
            label = _label(results[family[0]].settings) if len(family) > 2 else None
            axes.plot(*zip(*line, strict=True), "o-" if label else "o", label=label, markersize=4, linewidth=1,
                      color=None if label else "0.6")  # fmt: skip
        for name in (name for name in results if name in list_attacks()):
            axes.annotate(name, points[name], textcoords="offset points", xytext=(4, -10), fontsize=7)
        best = np.maximum.accumulate([mean for _, mean in sorted(points.values())])
        axes.step([passes for passes, _ in sorted(points.values())], best, "k:", where="post", label="best so far")
        axes.set_xscale("log")
        axes.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
        axes.minorticks_off()
        axes.set_title(f"budget {levels}/255")
        axes.set_xlabel("passes of the surrogate an image")
        axes.set_ylabel("mean success on unseen models, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
    return figure


def _families(results: Mapping[str, Result]) -> list[list[str]]:
    """Group the schedules that differ in their steps alone."""
    families: dict[str, list[str]] = {}
    for name, result in results.items():
        rest = json.dumps(_without(result.settings, "steps", "eps"), sort_keys=True)
        families.setdefault(rest, []).append(name)
    return list(families.values())


def _label(settings: Mapping[str, Any]) -> str:
    if (views := settings.get("views")) is not None:
        return f"{' and '.join(next(iter(view)) for view in views)}, {settings.get('copies_a_step', 'all')} a step"
    copies, seen = settings["scale_copies"], settings.get("copies_a_step")
    order = settings.get("copy_order", "in_turn").replace("_", " ")
    what = f"all {copies} copies" if seen is None else f"{seen} of {copies} copies {order}"
    return f"{what}, p {settings['diversity_probability']:g}"
