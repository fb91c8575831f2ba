"""Which copies of an image are seen in which step.

Each view has copies of its own; a copy of the image is one of each view. All gradients of a step see the same copies:
directions compare them, and copies differ more than points do.
"""

from collections.abc import Sequence
from itertools import product
from math import gcd, prod
from typing import Literal

import torch

from lit_adv.attacks.views.base import Copy
from lit_adv.randomness import keyed_uniform

CopyOrder = Literal["in_turn", "drawn"]


def copies_in_turn(counts: Sequence[int], steps: int, a_step: int) -> list[list[tuple[Copy, ...]]]:
    """Return which copies each step sees when all take turns.

    They turn as the digits of a counter, the last view's fastest: what the gradient adds up to in the momentum is worth
    more where the first view, as the scale, changes seldom. Where there are more copies than turns, the slow digits
    turn sooner, so that few turns still show all copies of each view.

    Args:
        counts: Number of copies of each view.
        steps: Number T of steps.
        a_step: Number K of copies a step.

    Returns:
        Numbers in [0, count) for each view, [T][K][views].

    Example:
        >>> copies_in_turn([2, 2], steps=4, a_step=1)
        [[(0, 0)], [(0, 1)], [(1, 0)], [(1, 1)]]
        >>> copies_in_turn([2, 2], steps=2, a_step=1)
        [[(0, 0)], [(1, 1)]]
    """
    if a_step == prod(counts):
        return [list(product(*map(range, counts)))] * steps
    turns = min(steps * a_step, prod(counts))
    return [[_own_copies(counts, turns, t * a_step + i) for i in range(a_step)] for t in range(steps)]


def drawn_copies(
    counts: Sequence[int], keys: Sequence[str], seed: int, device: torch.device, *, steps: int, a_step: int
) -> list[list[tuple[Copy, ...]]]:
    """Draw the copies that each image sees in each step, all different within a step.

    Args:
        counts: Number of copies of each view.
        keys: The B samples' keys.
        seed: The user's seed.
        device: Of the images.
        steps: Number T of steps.
        a_step: Number K of copies a step.

    Returns:
        Numbers in [0, count) for each view, [T][K][views] tensors int64 [B].
    """
    uniform = keyed_uniform(seed, "scale copies", keys, steps, prod(counts))
    drawn = uniform.argsort(dim=2, stable=True)[..., :a_step].to(device)
    return [[_own_copies(counts, prod(counts), drawn[:, t, i]) for i in range(a_step)] for t in range(steps)]


def steps_until_copies_repeat(copies: int, a_step: int, order: CopyOrder) -> int:
    """Return after how many steps the same copies take their turn again; 1 where none take turns."""
    return copies // gcd(copies, a_step) if order == "in_turn" else 1


def _own_copies(counts: Sequence[int], turns: int, turn: Copy) -> tuple[Copy, ...]:
    """Return the copy of each view at a turn, where all copies are to be shown in so many turns, or as many as can."""
    own: list[Copy] = []
    changes = 1  # of this view's copy in all these turns; none changes more than once a turn
    for count in counts:
        changes *= count
        own.append((turn * min(changes, turns) // turns) % count)
    return tuple(own)
