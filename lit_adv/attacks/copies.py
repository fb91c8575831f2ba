"""Which copies of an image are seen in which step.

All gradients of a step see the same copies: directions compare them, and copies differ more than points do.
"""

from collections.abc import Sequence
from typing import Literal

import torch

from lit_adv.randomness import keyed_uniform

CopyOrder = Literal["in_turn", "drawn"]


def copies_in_turn(steps: int, copies: int, a_step: int) -> list[list[int]]:
    """Return which copies each step sees when all take turns.

    Args:
        steps: Number T of steps.
        copies: Number m of copies.
        a_step: Number K of copies a step; step t sees the copies (t * K + j) mod m for j < K.

    Returns:
        Indices in [0, m), [T][K].

    Example:
        >>> copies_in_turn(steps=3, copies=3, a_step=2)
        [[0, 1], [2, 0], [1, 2]]
    """
    return [[(t * a_step + j) % copies for j in range(a_step)] for t in range(steps)]


def drawn_copies(
    keys: Sequence[str], seed: int, device: torch.device, *, steps: int, copies: int, a_step: int
) -> list[list[torch.Tensor]]:
    """Draw the copies that each image sees in each step, all different within a step.

    Args:
        keys: The B samples' keys.
        seed: The user's seed.
        device: Of the images.
        steps: Number T of steps.
        copies: Number m of copies.
        a_step: Number K of copies a step.

    Returns:
        Indices in [0, m), [T][K] tensors int64 [B].
    """
    uniform = keyed_uniform(seed, "scale copies", keys, steps, copies)
    drawn = uniform.argsort(dim=2, stable=True)[..., :a_step].to(device)
    return [[drawn[:, t, j] for j in range(a_step)] for t in range(steps)]
