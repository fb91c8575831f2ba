"""How far an adversarial image is from its clean image."""

from __future__ import annotations

import math

import numpy as np

from lit_adv.shards.decode import Pixels


def distance(adversarial: Pixels, clean: Pixels) -> tuple[int, float]:
    """Return the L-infinity and the L2 distance of two images of 8-bit values, exact before the last division.

    One image at a time, and in 8 bits where that is enough: wider copies of whole batches are megabytes of new memory,
    which took more of a CPU than encoding and writing the images.

    Args:
        adversarial: uint8, of any shape.
        clean: As ``adversarial``.

    Returns:
        The largest change of a pixel in grey levels, and the change's Euclidean norm with pixels in [0, 1].
    """
    change = np.maximum(adversarial, clean) - np.minimum(adversarial, clean)
    squares = np.multiply(change, change, dtype=np.uint16)  # 255 * 255 just fits
    return int(change.max()), math.sqrt(int(squares.sum(dtype=np.uint64))) / 255
