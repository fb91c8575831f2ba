"""A table of the paper's from the results of evaluations: the cells, and how they are laid out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lit_adv.paper import PAPER_ENSEMBLE, has_paper_settings, paper_table
from lit_adv.report import rows_to_csv
from lit_adv.reproduction.experiments import ENSEMBLE, Experiment, members_of, pretty
from lit_adv.reproduction.plan import Planner, attack_name, generation_name
from lit_adv.shards import storage
from lit_adv.shards.manifest import MANIFEST_FILE


class Cell(NamedTuple):
    """What an attack on a source achieves against a target; shares are in [0, 1].

    Attributes:
        source: The surrogate's name, or ``ensemble``.
        attack: The attack's name.
        target: The target's name.
        white_box: Whether the attack saw the target's weights; of a defense, those of a model in it.
        success: The share of the images that are misclassified.
        low: Lower end of its 95 % interval.
        high: Upper end.
        hits: How many images are misclassified.
        images: Of how many.
        on_correct: The share, of the images that the target itself classifies correctly when they are clean.
        correct: How many these are.
        paper: The paper's number; None if it has none, or has it for another model or for other settings.
    """

    source: str
    attack: str
    target: str
    white_box: bool
    success: float
    low: float
    high: float
    hits: int
    images: int
    on_correct: float | None
    correct: int
    paper: float | None


def read_cells(experiment: Experiment, planner: Planner, folder: Path) -> list[Cell]:
    """Read the cells of a table, row by row, from the results of its evaluations."""
    jobs = [job for job in planner.jobs([experiment.name]) if job.command == "test"]
    rows = [row for job in jobs for row in storage.read_json(str(folder / job.name / "results.json"))]
    found = {(row["attack"], row["target"]): row for row in rows}
    published = paper_table(experiment.name.removeprefix("table"))
    others = {ENSEMBLE} if set(planner.zoo.ensemble) != PAPER_ENSEMBLE else set()
    cells = []
    for source, run in planner.runs(experiment.name):
        # Nothing of C&W's settings is in the paper, so that the zoo's are as good as any.
        own = run.options if run.attack == "cw" else {}
        made = storage.read_json(str(folder / generation_name(source, run) / MANIFEST_FILE))["config"]["model"]
        comparable = source not in others and has_paper_settings(made, own)
        for target in planner.zoo.defenses if experiment.defended else planner.zoo.targets:
            row = found[attack_name(source, run), target]
            cells.append(
                Cell(
                    source,
                    run.attack,
                    target,
                    white_box=row["white_box"] or target in members_of(source, planner.zoo),
                    success=row["success"],
                    low=row["success_low"],
                    high=row["success_high"],
                    hits=row["success_hits"],
                    images=row["success_total"],
                    on_correct=row["success_on_correct"],
                    correct=row["success_on_correct_total"],
                    paper=published.get((source, run.attack, target)) if comparable else None,
                )
            )
    return cells


def to_csv(cells: Sequence[Cell]) -> str:
    """Return the cells as CSV, a row for each."""
    return rows_to_csv([cell._asdict() for cell in cells])


def to_markdown(experiment: Experiment, cells: Sequence[Cell]) -> str:
    """Return the table in the paper's layout, with intervals and the paper's numbers."""
    rows = _rows(cells)
    head = ["Model", "Attack", *(cell.target for cell in rows[0]), _last(experiment)]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        lines.append([row[0].source, pretty(row[0].attack), *map(_text, row), _mean_text(experiment, row)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(experiment: Experiment, cells: Sequence[Cell], caption: str) -> str:
    """Return the table as LaTeX (packages booktabs and multirow), the best of each model's attacks in bold.

    Args:
        experiment: The table.
        cells: Its cells.
        caption: What the numbers are over.
    """
    rows = _rows(cells)
    head = ["Model", "Attack", *(_escape(cell.target) for cell in rows[0]), _last(experiment)]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape(experiment.title)}. {_escape(caption)}}}",
        r"\centering",
        rf"\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}",
        r"\toprule",
        f"{' & '.join(head)} \\\\",
    ]
    for source in dict.fromkeys(row[0].source for row in rows):
        group = [row for row in rows if row[0].source == source]
        lines.append(r"\midrule")
        best = [max(cell.success for cell in column) for column in zip(*group, strict=True)]
        for number, row in enumerate(group):
            first = rf"\multirow{{{len(group)}}}{{*}}{{{_escape(source)}}}" if number == 0 else ""
            texts = [_latex_text(cell, cell.success == top) for cell, top in zip(row, best, strict=True)]
            texts.append(_escape(_mean_text(experiment, row)))
            lines.append(f"{' & '.join([first, _escape(pretty(row[0].attack)), *texts])} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def mean(cells: Sequence[Cell]) -> float | None:
    """Return the mean success; None of no cells."""
    return sum(cell.success for cell in cells) / len(cells) if cells else None


def averaged(experiment: Experiment, row: Sequence[Cell]) -> list[Cell]:
    """Return the cells that the last column averages."""
    return [cell for cell in row if experiment.average == "all" or not cell.white_box]


def compared(experiment: Experiment, cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells by which attacks are compared: the black boxes; of defenses all, as in the paper."""
    return [cell for cell in cells if experiment.defended or not cell.white_box]


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.1f}"


def _rows(cells: Sequence[Cell]) -> list[list[Cell]]:
    keys = dict.fromkeys((cell.source, cell.attack) for cell in cells)
    return [[cell for cell in cells if (cell.source, cell.attack) == key] for key in keys]


def _last(experiment: Experiment) -> str:
    return "Average" if experiment.average == "all" else "Black-box mean"


def _mean_text(experiment: Experiment, row: Sequence[Cell]) -> str:
    cells = averaged(experiment, row)
    ours = mean(cells)
    papers = [cell.paper for cell in cells if cell.paper is not None]
    text = "" if ours is None else percent(ours)
    return f"{text} [{percent(sum(papers) / len(papers))}]" if papers and len(papers) == len(cells) else text


def _text(cell: Cell) -> str:
    paper = "" if cell.paper is None else f" [{percent(cell.paper)}]"
    return f"{percent(cell.success)}{'*' * cell.white_box} ({percent(cell.low)} to {percent(cell.high)}){paper}"


def _latex_text(cell: Cell, best: bool) -> str:
    paper = "" if cell.paper is None else f" [{percent(cell.paper)}]"
    number = rf"\textbf{{{percent(cell.success)}}}" if best else percent(cell.success)
    small = f"({percent(cell.low)}--{percent(cell.high)}){paper}"
    return rf"{number}{'*' * cell.white_box} {{\tiny {small}}}"


def _escape(text: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", text)
