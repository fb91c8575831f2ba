"""How far an adversarial image is from its clean image."""

import torch
from torch import Tensor


def distance(adversarial: Tensor, clean: Tensor) -> tuple[int, float]:
    """Return the L-infinity and the L2 distance of two images of 8-bit values, exact before the last division.

    One image at a time, and in 8 bits where that is enough: wider copies of whole batches are megabytes of new memory,
    which took more of a CPU than encoding and writing the images.

    Args:
        adversarial: uint8 [3, H, W] or [H, W, 3].
        clean: As ``adversarial``.

    Returns:
        The largest change of a pixel in grey levels, and the change's Euclidean norm with pixels in [0, 1].
    """
    change = torch.maximum(adversarial, clean) - torch.minimum(adversarial, clean)
    # Its square fits into float64 exactly.
    return int(change.max()), float(torch.linalg.vector_norm(change.double())) / 255
