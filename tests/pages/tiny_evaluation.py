"""An evaluation of any size, of random answers: as the page gets it, without models."""

from collections.abc import Sequence

import numpy as np

from lit_adv.metrics import Rate, TransferResult
from lit_adv.outcomes import Outcomes
from lit_adv.pages.evaluation import Evaluation, WhatRan
from lit_adv.pages.gallery import Choice, choose, draw
from lit_adv.report import Cell

#: A class and an attack whose names would be markup, if they were not escaped.
BOLD_CLASS, BOLD_ATTACK = "<b>hen</b>", 'mi_fgsm "<b>8</b>"'


def make_evaluation(
    attacks: Sequence[str] = (BOLD_ATTACK, "si_ni_ti_dim"),
    targets: Sequence[str] = ("white", "first unseen", "second unseen"),
    images: int = 40,
    classes: int = 10,
    gallery: int = 12,
    paper: float | None = 0.661,
    side: int = 48,
) -> Evaluation:
    """Return an evaluation whose first target is a white box, and whose attacks have budgets of 4, 8, ... levels."""
    random = np.random.default_rng(0)
    outcomes = []
    for number, attack in enumerate(attacks):
        labels = (np.arange(images) % classes).astype(np.int32)
        clean, adversarial = np.tile(labels, (len(targets), 1)), np.tile(labels, (len(targets), 1))
        clean[random.random(clean.shape) < 0.2] = classes
        adversarial[random.random(clean.shape) < 0.3 + 0.5 * (number + 1) / len(attacks)] = classes + 1
        adversarial[0] = classes + 1
        adversarial[:, 0] = labels[0]
        outcomes.append(
            Outcomes(attack, "shard-000000.tar", [f"{n:05d}" for n in range(images)], labels, clean, adversarial)
        )
    chosen = choose(outcomes, gallery)
    return Evaluation(
        cells=[
            _cell(part, target, t, 4 * (n + 1), paper)
            for n, part in enumerate(outcomes)
            for t, target in enumerate(targets)
        ],
        outcomes=outcomes,
        gallery=[(choice, draw(*_pixels(choice, side))) for choice in chosen],
        classes={0: BOLD_CLASS},
        methods=dict.fromkeys(attacks, "mi_fgsm"),
        reference=False,
        what_ran=WhatRan(
            "seed: 0\n", {"torch": "2.0"}, {"weights of white": "0" * 64}, ["lit-adv test --config a.yaml"]
        ),
    )


def _cell(part: Outcomes, target: str, number: int, budget: int, paper: float | None) -> Cell:
    fooled, correct = part.fooled[number], part.correct[number]
    result = TransferResult(
        success=Rate.of(int(fooled.sum()), len(fooled)),
        success_on_correct=Rate.of(int((fooled & correct).sum()), int(correct.sum())),
        targeted_success=Rate.of(0, 0),
        abstention=Rate.of(0, len(fooled)),
        clean_accuracy=Rate.of(int(correct.sum()), len(correct)),
        breaches=0,
        mean_linf=float(budget),
        mean_l2=1.0,
    )
    return Cell(part.attack, "surrogate", target, number == 0, budget, paper if number == 1 else None, result)


def _pixels(choice: Choice, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise, which of all pictures is the hardest to make small."""
    random = np.random.default_rng(choice.number)
    clean = random.integers(16, 240, (side, side, 3), dtype=np.uint8)
    return clean, (clean + random.integers(-16, 17, clean.shape)).astype(np.uint8)
