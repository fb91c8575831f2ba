"""The paper's tables and figures as data: what is attacked with what, and shown to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from lit_adv.reproduction.zoo import Zoo

#: How the paper's text calls the ensemble of surrogates.
ENSEMBLE = "ensemble"


class AttackRun(NamedTuple):
    """An attack with its settings.

    Attributes:
        label: What tells it from others, as a folder's name.
        attack: The attack's name.
        options: Where its settings differ from the named attack's.
    """

    label: str
    attack: str
    options: dict[str, Any]


class Experiment(NamedTuple):
    """A table, or a figure that rests on success rates.

    Attributes:
        name: As the command line has it.
        title: The paper's caption, shortened.
        attacks: Names of the attacks, in the order of rows.
        sources: What is attacked: each surrogate, the ensemble, or the first surrogate.
        defended: Whether the images are shown to the defenses in place of the models.
        ahead: Pairs of attacks of which the paper has the second ahead of the first.
        average: What the last column averages; the paper's Tables 3 and 4 have one over all columns.
    """

    name: str
    title: str
    attacks: Sequence[str]
    sources: Literal["each", "ensemble", "first"]
    ahead: Sequence[tuple[str, str]] = ()
    defended: bool = False
    average: Literal["all", "black-box"] = "black-box"


_PAIRS = [("tim", "si_ni_tim"), ("dim", "si_ni_dim"), ("ti_dim", "si_ni_ti_dim")]
_ALL = [attack for pair in _PAIRS for attack in pair]
_CLASSIC = ["fgsm", "i_fgsm", "pgd", "cw"]

TABLES = {
    table.name: table
    for table in (
        *(
            Experiment(f"table1{letter}", f"Table 1 ({letter}): single surrogates", pair, "each", [pair])
            for letter, pair in zip("abc", _PAIRS, strict=True)
        ),
        Experiment("table2", "Table 2: the ensemble of surrogates", _ALL, "ensemble", _PAIRS),
        Experiment(
            "table3",
            "Table 3: the ensemble's images against defenses",
            ["mi_fgsm", "ti_dim", "si_ni_ti_dim"],
            "ensemble",
            [("mi_fgsm", "ti_dim"), ("ti_dim", "si_ni_ti_dim")],
            defended=True,
            average="all",
        ),
        Experiment(
            "table4",
            "Table 4: classic attacks",
            [*_CLASSIC, "ni_fgsm", "si_ni_fgsm"],
            "first",
            [*((attack, "ni_fgsm") for attack in _CLASSIC), ("ni_fgsm", "si_ni_fgsm")],
            average="all",
        ),
    )
}

FIGURES = {
    "figure1": "Figure 1: average loss of scaled images",
    "figure2": "Figure 2: success by the number of iterations",
    "figure3": "Figure 3: clean and adversarial images",
}

#: Figure 2's curves, and where the paper has the second ahead of the first.
CURVES = ("mi_fgsm", "ni_fgsm")

#: Figure 1's scales, and the range in which the paper calls the loss stable.
SCALES = [round(0.1 * number, 1) for number in range(1, 21)]
STABLE = (0.1, 1.3)

#: Figure 3 shows these images, and so many of them.
PICTURED = "si_ni_ti_dim"
PAIRS_PICTURED = 12

EVERYTHING = (*TABLES, *FIGURES)


def run_of(attack: str, zoo: Zoo, steps: int | None = None) -> AttackRun:
    """Return an attack with the zoo's settings, and Figure 2's number of iterations unless that is the usual one."""
    options = dict(zoo.attack_options.get(attack, {}))
    if steps is None or steps == options.get("steps", 10):
        return AttackRun(attack, attack, options)
    return AttackRun(f"{attack}-{steps}", attack, options | {"steps": steps})


def sources_of(experiment: Experiment, zoo: Zoo) -> list[str]:
    """Return what is attacked, by the names of the folders of images."""
    return {"each": zoo.surrogates, "first": zoo.surrogates[:1], "ensemble": [ENSEMBLE]}[experiment.sources]


def members_of(source: str, zoo: Zoo) -> list[str]:
    """Return the names of the models that are attacked together."""
    return zoo.ensemble if source == ENSEMBLE else [source]


def attacked_specs(source: str, zoo: Zoo) -> list[str]:
    """Return the specs of the models that are attacked together."""
    specs = zoo.models | (zoo.together if source == ENSEMBLE else zoo.alone)
    return [specs[name] for name in members_of(source, zoo)]


def pretty(attack: str) -> str:
    """Return the paper's way to write an attack.

    Example:
        >>> pretty("si_ni_ti_dim"), pretty("cw")
        ('SI-NI-TI-DIM', 'C&W')
    """
    return "C&W" if attack == "cw" else attack.upper().replace("_", "-")
