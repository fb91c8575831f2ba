"""Random resizing and padding, R&P (Xie et al., ICLR 2018; second in the NIPS 2017 defense competition).

The classifier sees 30 random views of the image and its softmax outputs are added. For each view the image is
mirrored with probability 1/2 (mirrorings accumulate from view to view), resized (nearest neighbor) from 299 to
r x r pixels, r uniform in 310 to 330, and placed at a uniform position on a mid-grey canvas of 331 x 331.

As in the authors' code the classifier is run at the canvas's size; a ``Classifier`` with ``resize=True`` brings the
canvas to its own size. A classifier with an auxiliary head, as ``slim:`` loads it with ``?aux=0.4``, adds 0.4 times the
softmax output of that head, whatever the option's value. Deliberately different:

- the softmax is over the classes that are told apart, without the authors' background class;
- each image draws for itself from its key, where the authors draw once a batch of 16;
- the three sizes scale with the image (224: 232 to 247 on 248), so any classifier can be defended.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_adv.defenses.base import Defense, head_logits
from lit_adv.randomness import keyed_uniform

_SIDE, _SMALLEST, _LARGEST, _CANVAS = 299, 310, 330, 331
_MID_GREY = 0.5
#: Factors of the main head's softmax output and the auxiliary head's.
_HEADS = (1.0, 0.4)


class RandomResizePad(Defense):
    """Random resizing and padding before a classifier.

    Args:
        model: The classifier to defend; sees images 331/299 times the given size.
        iterations: Random views of an image.
        seed: Seed of the views.

    Raises:
        ValueError: If ``iterations`` is not positive.
    """

    scores_auxiliary_heads = True

    def __init__(self, model: nn.Module, iterations: int = 30, seed: int = 0) -> None:
        super().__init__()
        if iterations < 1:
            raise ValueError(f"iterations must be positive, not {iterations}")
        self.model = model
        self.iterations = iterations
        self.seed = seed

    def scores(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Return the sum of the views' softmax outputs."""
        uniform = keyed_uniform(self.seed, "random resizing and padding", keys, self.iterations, 4)
        coin, size, top, left = uniform.to(images.device).unbind(2)
        mirrored = (coin < 0.5).cumsum(1) % 2 == 1
        total = torch.zeros((), device=images.device)
        for view in range(self.iterations):
            draws = (column[:, view] for column in (mirrored, size, top, left))
            heads = head_logits(self.model, random_view(images, *draws))
            for factor, logits in zip(_HEADS, heads, strict=False):
                total = total + factor * logits.float().softmax(1)
        return total


def random_view(images: Tensor, mirrored: Tensor, size: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Mirror, resize and pad each image in its own way.

    Args:
        images: Float [B, 3, H, W] in [0, 1].
        mirrored: bool [B], whether to swap left and right first.
        size: [B] in [0, 1), the position of the new size among the possible ones.
        top: [B] in [0, 1), the position of the upper edge among the possible ones.
        left: [B] in [0, 1), the same of the left edge.

    Returns:
        Float [B, 3, round(H * 331 / 299), round(W * 331 / 299)].
    """
    rows, inside_rows = _nearest_sources(images.shape[2], size, top)
    columns, inside_columns = _nearest_sources(images.shape[3], size, left)
    columns = torch.where(mirrored[:, None], images.shape[3] - 1 - columns, columns)
    # Resizing to many sizes at once is a gather along each axis.
    batch, channels, _, width = images.shape
    picked = images.gather(2, rows[:, None, :, None].expand(batch, channels, -1, width))
    picked = picked.gather(3, columns[:, None, None, :].expand(batch, channels, rows.shape[1], -1))
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return torch.where(inside, picked, _MID_GREY)


def _nearest_sources(side: int, size: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each pixel of a canvas's axis, the image's pixel it copies and whether it copies one."""
    smallest, largest, canvas = (round(side * pixels / _SIDE) for pixels in (_SMALLEST, _LARGEST, _CANVAS))
    sizes = smallest + (size * (largest - smallest + 1)).long()[:, None]
    starts = (offset[:, None] * (canvas - sizes + 1)).long()
    position = torch.arange(canvas, device=size.device) - starts
    inside = (position >= 0) & (position < sizes)
    return torch.where(inside, position * side // sizes, 0), inside
