"""What is written once the jobs are done: each table and figure, and a page with all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lit_adv.callbacks.clean_report import CLEAN_FILE
from lit_adv.report import rows_to_csv
from lit_adv.reproduction.experiments import (
    CURVES,
    ENSEMBLE,
    EVERYTHING,
    FIGURES,
    PICTURED,
    SCALES,
    STABLE,
    TABLES,
    Experiment,
    pretty,
    run_of,
)
from lit_adv.reproduction.figures import FORMATS, draw_curves, draw_losses, draw_pairs, to_file
from lit_adv.reproduction.findings import findings
from lit_adv.reproduction.plan import Planner
from lit_adv.reproduction.selection import describe
from lit_adv.reproduction.tables import Cell, percent, read_cells, to_csv, to_latex, to_markdown
from lit_adv.shards import publish, storage

#: The page with all tables and figures.
PAGE = "README.md"


class Book:
    """The tables and figures of an output folder.

    Args:
        planner: The jobs' planner.
        folder: The output folder.
        selection: The record of the images that were chosen.
        title: What the page is called.
        notes: Sentences for the page's head.
    """

    def __init__(
        self, planner: Planner, folder: Path, selection: Mapping[str, Any], title: str, notes: Sequence[str]
    ) -> None:
        self._planner = planner
        self._folder = folder
        self._images = f"Over {describe(selection)}"
        self._title = title
        self._notes = notes
        self.tables: dict[str, list[Cell]] = {}
        self.pictures: list[str] = []

    def write(self, wanted: Sequence[str]) -> Path:
        """Write tables and figures, and the page of all that there are by now.

        Args:
            wanted: Their names; their jobs are done.

        Returns:
            The page.
        """
        for name in wanted:
            if name in TABLES:
                self._write_table(TABLES[name])
            else:
                {"figure1": self._write_losses, "figure2": self._write_curves, "figure3": self._write_pairs}[name]()
        parts = [file.read_text() for name in EVERYTHING if (file := self._folder / f"{name}.md").is_file()]
        page = "\n".join([f"# {self._title}", "", self._images, *self._notes, "", *parts])
        self._write(PAGE, page)
        return self._folder / PAGE

    def _write_table(self, experiment: Experiment) -> None:
        cells = self.tables[experiment.name] = read_cells(experiment, self._planner, self._folder)
        signs = (
            "Misclassified images in %, with 95 % intervals; * marks white boxes. In brackets the number of Lin et al. "
            "(2020)."
        )
        said = "\n".join(f"- {sentence}" for sentence in findings(experiment, cells))
        text = f"## {experiment.title}\n\n{to_markdown(experiment, cells)}\n{self._images} {signs}\n\n{said}\n"
        self._write(f"{experiment.name}.md", text)
        self._write(f"{experiment.name}.csv", to_csv(cells))
        self._write(f"{experiment.name}.tex", to_latex(experiment, cells, f"{self._images} {signs}"))

    def _write_losses(self) -> None:
        found = storage.read_json(str(self._folder / "results/figure1" / CLEAN_FILE))
        losses = dict(zip(found["models"], found["losses"], strict=True))
        said = []
        for name, values in losses.items():
            at = dict(zip(SCALES, values, strict=True))
            stable = {scale: loss for scale, loss in at.items() if STABLE[0] <= scale <= STABLE[1]}
            worst = max(stable, key=lambda scale: stable[scale])
            beyond = max(loss for scale, loss in at.items() if scale > STABLE[1])
            said.append(
                f"{name}: the loss is {at[1.0]:.2f} at scale 1, at most {stable[worst]:.2f} within {STABLE[0]} to "
                f"{STABLE[1]} (at {worst}), and at most {beyond:.2f} beyond."
            )
        said.append("The paper calls the loss stable within that range.")
        rows = [dict(zip(("scale", *losses), row, strict=True)) for row in zip(SCALES, *losses.values(), strict=True)]
        self._write("figure1.csv", rows_to_csv(rows))
        self._write_figure("figure1", draw_losses(SCALES, losses), said)

    def _write_curves(self) -> None:
        steps = self._planner.zoo.iterations
        curves = Experiment("figure2", FIGURES["figure2"], CURVES, "first", [CURVES])
        cells = read_cells(curves, self._planner, self._folder)
        size = len(cells) // (len(CURVES) * len(steps))  # cells of an attack with a number of iterations
        rows = [cells[start : start + size] for start in range(0, len(cells), size)]
        by_steps = {at: [*rows[number], *rows[number + len(steps)]] for number, at in enumerate(steps)}
        said = [_compare_at(at, row[:size], row[size:]) for at, row in by_steps.items()]
        said.append("The paper has NI-FGSM ahead for every number of iterations.")
        self.tables["figure2"] = [
            cell._replace(attack=f"{cell.attack}-{at}") for at, row in by_steps.items() for cell in row
        ]
        self._write("figure2.csv", to_csv(self.tables["figure2"]))
        self._write_figure("figure2", draw_curves(by_steps), said)

    def _write_pairs(self) -> None:
        folder = self._folder / "images" / ENSEMBLE / run_of(PICTURED, self._planner.zoo).label
        self._write_figure("figure3", draw_pairs(str(folder)), [f"{pretty(PICTURED)} on the ensemble of surrogates."])

    def _write_figure(self, name: str, figure: Figure, said: Sequence[str]) -> None:
        for form in FORMATS:
            publish.replace(str(self._folder / f"{name}.{form}"), to_file(figure, form))
        self.pictures.append(str(self._folder / f"{name}.png"))
        lines = "\n".join(f"- {sentence}" for sentence in said)
        self._write(f"{name}.md", f"## {FIGURES[name]}\n\n![{FIGURES[name]}]({name}.png)\n\n{lines}\n")

    def _write(self, name: str, text: str) -> None:
        publish.replace(str(self._folder / name), text.encode())


def _compare_at(steps: int, momentum: Sequence[Cell], nesterov: Sequence[Cell]) -> str:
    """Say on which black boxes the second curve is ahead of the first, after so many iterations."""
    pairs = [(a, b) for a, b in zip(momentum, nesterov, strict=True) if not a.white_box]
    behind = [
        f"{b.target}, {percent(b.success)} against {percent(a.success)}" for a, b in pairs if b.success < a.success
    ]
    said = f"{steps} iterations: {pretty(CURVES[1])} is level with {pretty(CURVES[0])} or ahead of it on"
    more = f"; behind on {'; '.join(behind)}" if behind else ""
    return f"{said} {len(pairs) - len(behind)} of {len(pairs)} black boxes{more}."
