"""Whether a model and the data speak of the same classes."""

import torch
from torch import nn


@torch.no_grad()
def count_classes(model: nn.Module, image_size: int) -> int:
    """Return how many classes a model tells apart, by showing it a black image.

    Args:
        model: Maps [0, 1] images [B, 3, H, W] to logits [B, classes].
        image_size: Side of the image, in pixels.

    Raises:
        ValueError: If the model cannot take images of this size.
    """
    parameter = next(model.parameters(), torch.zeros(0))
    image = torch.zeros(1, 3, image_size, image_size, dtype=parameter.dtype, device=parameter.device)
    try:
        logits = model.forward(image)  # compiled models are compiled for each size of a batch, this is none of theirs
    except (RuntimeError, AssertionError) as error:  # timm asserts
        raise ValueError(
            f"it cannot take images of {image_size} x {image_size} pixels ({error}); let it resize them to its own "
            "size: append ?size=N to the model"
        ) from error
    return int(logits.shape[1])
