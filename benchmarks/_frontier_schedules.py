"""Which schedules of SI-NI-TI-DIM the frontier compares, and how they are called.

A schedule is called by what it changes of ``si_ni_ti_dim``, as in ``m5-k1-t20-p1``: one of five scale copies a step, in
turn, 20 steps, D with probability 1. A named attack is a schedule, too.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from lit_adv.attacks import list_attacks

_BASE = "si_ni_ti_dim"

#: What each letter of a name sets; the step size is in units of eps / T.
_LETTERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "m": ("scale_copies", int),
    "k": ("copies_a_step", int),
    "kd": ("copies_a_step", int),
    "t": ("steps", int),
    "p": ("diversity_probability", float),
    "mu": ("momentum", float),
    "w": ("kernel_size", int),
    "a": ("step_size", float),
    "l": ("backward", lambda slope: {"leaky": float(slope)}),
}


class Schedule(NamedTuple):
    """A schedule.

    Attributes:
        name: What it is called.
        attack: The named attack that it is made of.
        options: What it changes of that attack; ``step_size`` in units of eps / T.
    """

    name: str
    attack: str
    options: dict[str, Any]

    def settings(self, levels: int) -> dict[str, Any]:
        """Return the options of the attack for a budget in grey levels."""
        settings = self.options | {"eps": levels / 255}
        if "step_size" in settings:
            settings["step_size"] *= levels / 255 / settings["steps"]
        return settings


def parse_schedule(name: str) -> Schedule:
    """Read a schedule's name.

    Args:
        name: A named attack; or a name of one's own with what differs from ``mi_fgsm`` in JSON, as in
            ``turned={"views": [{"affine": 20}]}``; or parts joined by hyphens: ``m5`` scale copies, ``k2`` of them a
            step in turn or ``kd2`` drawn, ``t20`` steps, ``p1`` probability of D, ``mu0.9`` momentum, ``w15`` kernel,
            ``a1.5`` times eps / T a step (with ``t``), ``l0.1`` of the gradient through flat activations, ``unit`` for
            copies that fade to black.

    Returns:
        The schedule.

    Raises:
        ValueError: If the name is neither.

    Example:
        >>> parse_schedule("m5-kd2-t10").options
        {'scale_copies': 5, 'copies_a_step': 2, 'copy_order': 'drawn', 'steps': 10}
    """
    if name in list_attacks():
        return Schedule(name, name, {})
    own_name, equals, text = name.partition("=")
    if equals:
        return Schedule(own_name, "mi_fgsm", json.loads(text))
    options: dict[str, Any] = {}
    for part in name.split("-"):
        match = re.fullmatch(r"([a-z]+)([0-9.]+)", part)
        if part == "unit":
            options["scale_space"] = "unit"
        elif match and match[1] in _LETTERS:
            setting, kind = _LETTERS[match[1]]
            options[setting] = kind(match[2])
            if match[1] == "kd":
                options["copy_order"] = "drawn"
        else:
            raise ValueError(f"schedule {name!r} is neither a named attack nor made of parts such as m5-k1-t20-p1")
    if "step_size" in options and "steps" not in options:
        raise ValueError(f"schedule {name!r} has a step size of its own and must name its steps, as in t10-a1.5")
    return Schedule(name, _BASE, options)


#: In the order of importance, which a time limit cuts from the end.
DEFAULT = (
    "si_ni_ti_dim", "si_ni_ti_dim_fast", "si_ni_ti_dim_strong", "mi_fgsm", "ti_dim", "m1", "m2", "m3", "p1",
    # One copy of five in turn: every number of passes, with D always and with the paper's D.
    "m5-k1-t5-p1", "m5-k1-t10-p1", "m5-k1-t20-p1", "m5-k1-t30-p1", "m5-k1-t50-p1", "m5-k1-t100-p1",
    "m5-k1-t5", "m5-k1-t10", "m5-k1-t20", "m5-k1-t30", "m5-k1-t50", "m5-k1-t100",
    # Other ways to spend twenty, fifty and a hundred passes.
    "m5-kd1-t20-p1", "m5-kd2-t10-p1", "m5-kd2-t10", "m3-k1-t20-p1", "m5-k1-t20-p1-a1.5", "t20-p1",
    "m5-kd1-t50-p1", "m5-k2-t25-p1", "m3-k1-t50-p1", "m7-k1-t50-p1", "m10-k1-t50-p1",
    "m5-k1-t50-p1-mu0.9", "m5-k1-t50-p1-a1.5", "m5-k1-t50-p1-w15",
)  # fmt: skip
