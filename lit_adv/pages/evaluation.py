"""The page of an evaluation: what the attacks achieve, on which images, and what was run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from lit_adv.outcomes import Agreement, ClassCount, Flags, Outcomes, count_agreement, count_classes
from lit_adv.pages.charts import Line, draw_lines
from lit_adv.pages.gallery import Choice, Pictures
from lit_adv.pages.render import render
from lit_adv.report import Cell


@dataclass(frozen=True)
class WhatRan:
    """What was run, so that it can be run again.

    Attributes:
        configuration: The resolved configuration, as YAML; empty if it was not saved.
        versions: Of the software that had a part in the numbers.
        checksums: SHA-256 of what was read, by what it is: manifests of shards, weights.
        commands: What to type to have the same again.
    """

    configuration: str
    versions: Mapping[str, str]
    checksums: Mapping[str, str]
    commands: Sequence[str]


@dataclass(frozen=True)
class Evaluation:
    """All that the page of an evaluation is made from.

    Attributes:
        cells: Every pair of an attack and a target, attack by attack, the targets in the same order.
        outcomes: What the targets, in that order, made of each image, one part for each attack and shard.
        gallery: The images to show, with their pictures.
        classes: What the classes are called, as far as that is known.
        methods: For each attack what it is without its budget: attacks of the same method are compared by budget.
        reference: Whether the paper's numbers are shown from the start.
        what_ran: What was run.
    """

    cells: Sequence[Cell]
    outcomes: Sequence[Outcomes]
    gallery: Sequence[tuple[Choice, Pictures]]
    classes: Mapping[int, str]
    methods: Mapping[str, str]
    reference: bool
    what_ran: WhatRan


def evaluation_page(evaluation: Evaluation) -> bytes:
    """Return the page as an HTML file's content; the same for the same evaluation."""
    cells = evaluation.cells
    by_attack: dict[str, list[Cell]] = {cell.attack: [] for cell in cells}
    for cell in cells:
        by_attack[cell.attack].append(cell)
    judges = {attack: _judges(row) for attack, row in by_attack.items()}
    by_class = count_classes(evaluation.outcomes, judges)
    agreements = count_agreement(evaluation.outcomes, judges)
    return render(
        "evaluation",
        targets=list(dict.fromkeys(cell.target for cell in cells)),
        rows=[_Row(attack, row[0].surrogate, row[0].budget, row) for attack, row in by_attack.items()],
        images=max((cell.result.success.total for cell in cells), default=0),
        breaches=[row[0] for row in by_attack.values() if row[0].result.breaches],
        has_paper=any(cell.paper is not None for cell in cells),
        reference=evaluation.reference,
        unseen_only=any(not all(mask) for mask in judges.values()),
        classes=[_class_row(label, counts, by_attack, evaluation.classes) for label, counts in by_class.items()],
        class_chart=_class_chart(by_class, list(by_attack)),
        budget_chart=_budget_chart(by_attack, evaluation.methods),
        agreements=agreements,
        most_judges=max((len(agreement.images) - 1 for agreement in agreements.values()), default=0),
        agreement_chart=_agreement_chart(agreements),
        gallery=[_card(choice, pictures, by_attack, evaluation.classes) for choice, pictures in evaluation.gallery],
        what_ran=evaluation.what_ran,
    )


class _Row(NamedTuple):
    """An attack's row of the matrix."""

    attack: str
    surrogate: str
    budget: int | None
    cells: list[Cell]

    @property
    def mean(self) -> list[float | None]:
        """The mean success over the targets, of all images and of clean-correct ones; None where a target has none."""
        results = [cell.result for cell in self.cells]
        kinds = [[result.success for result in results], [result.success_on_correct for result in results]]
        means = [sum(rate.value for rate in rates) / len(rates) for rates in kinds]
        return [None if isnan(mean) else round(mean, 6) for mean in means]


def _judges(row: Sequence[Cell]) -> Flags:
    """Return which targets of an attack count beyond the matrix: those that it has not seen; all if it saw all."""
    unseen = np.array([not cell.white_box for cell in row])
    return unseen if unseen.any() else np.ones_like(unseen)


class _ClassRow(NamedTuple):
    """A class and how each attack fares on it; the ``shares`` are of all images and of clean-correct ones."""

    name: str
    images: int
    shares: list[tuple[float | None, float | None]]


def _class_row(
    label: int, counts: Mapping[str, ClassCount], attacks: Iterable[str], names: Mapping[int, str]
) -> _ClassRow:
    in_order = [counts.get(attack, ClassCount()) for attack in attacks]
    shares = [(_share(count.fooled, count.shown), _share(count.correct_fooled, count.correct)) for count in in_order]
    return _ClassRow(class_name(label, names), max(count.images for count in counts.values()), shares)


def class_name(label: int, names: Mapping[int, str]) -> str:
    """Return what to call a class: its name if it has one, else its number."""
    if label < 0:
        return "abstains"
    return names.get(label, f"class {label}")


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _class_chart(by_class: Mapping[int, Mapping[str, ClassCount]], attacks: Sequence[str]) -> Markup | None:
    """Draw each attack's success by class, from the class that withstands it best to the one that does least."""
    if len(by_class) < 2:
        return None
    lines: dict[str, Line] = {}
    for attack in attacks:
        found = [counts[attack] for counts in by_class.values() if attack in counts]
        shares = sorted(100 * count.fooled / count.shown for count in found)
        lines[attack] = ([100 * (number + 0.5) / len(shares) for number in range(len(shares))], shares)
    return draw_lines(
        lines, x_label="share of the classes (%), hardest to fool first", y_label="success on unseen targets (%)"
    )


def _budget_chart(by_attack: Mapping[str, Sequence[Cell]], methods: Mapping[str, str]) -> Markup | None:
    """Draw the success by budget, target by target, of each method that was given several; None if none was."""
    points: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    met = Counter[tuple[str, int | None]]()
    for attack, row in by_attack.items():
        method, budget = methods[attack], row[0].budget
        met[method, budget] += 1
        if (times := met[method, budget]) > 1:  # a line has one success at each budget
            method = f"{method} ({times})"
        for cell in row:
            if cell.budget is not None and cell.result.success.total:
                points[method, cell.target][cell.budget] = 100 * cell.result.success.value
    several = {name: dict(sorted(line.items())) for name, line in points.items() if len(line) > 1}
    if not several:
        return None
    one_method = len({method for method, _ in several}) == 1
    lines: dict[str, Line] = {
        target if one_method else f"{method}, {target}": (list(line), list(line.values()))
        for (method, target), line in several.items()
    }
    return draw_lines(lines, x_label="budget (grey levels)", y_label="success (%)", whole_x=True, markers=True)


def _agreement_chart(agreements: Mapping[str, Agreement]) -> Markup | None:
    """Draw which share of the images fools at least 1, 2, ... targets; None if there are not several."""
    lines: dict[str, Line] = {}
    for attack, agreement in agreements.items():
        at_least = list(accumulate(reversed(agreement.images)))[:-1][::-1]
        total = max(sum(agreement.images), 1)
        lines[attack] = (list(range(1, len(at_least) + 1)), [100 * images / total for images in at_least])
    if all(len(x) < 2 for x, _ in lines.values()):
        return None
    return draw_lines(lines, x_label="targets", y_label="fool at least so many (%)", whole_x=True, markers=True)


def _card(
    choice: Choice, pictures: Pictures, by_attack: Mapping[str, Sequence[Cell]], names: Mapping[int, str]
) -> dict[str, Any]:
    """Return what the gallery shows of an image."""
    part, number = choice
    label = int(part.labels[number])
    answers = [
        {
            "target": cell.target,
            "clean": class_name(int(before), names),
            "adversarial": class_name(int(after), names),
            "correct": bool(before == label),
            "fooled": bool(after != label),
        }
        for cell, before, after in zip(
            by_attack[part.attack], part.clean[:, number], part.adversarial[:, number], strict=True
        )
    ]
    return {
        "attack": part.attack,
        "name": f"{part.shard.removesuffix('.tar')}/{part.keys[number]}",
        "label": class_name(label, names),
        "pictures": pictures,
        "answers": answers,
        "fooled": sum(answer["fooled"] for answer in answers),
        "flags": "".join("1" if answer["fooled"] else "0" for answer in answers),
    }
