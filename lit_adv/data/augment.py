"""Random changes of training images: torchvision's, with random numbers that belong to the image.

A perturbation is a matter of single pixels. Resizing is a low-pass filter that takes most of it away, and interpolation
can carry what is left beyond the budget. So images that have an adversarial version are never resized: both are shifted
and mirrored together, which moves every pixel of the perturbation and changes none. Images without one get the usual
crop of random size and aspect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from lit_adv.randomness import keyed_generator


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed.

    Attributes:
        shift: Images with an adversarial version are shifted by up to this share of their side along both axes; what
            leaves on one side is made up for by mirroring the other side's border. In [0, 1].
        min_area: The random crop of an image without an adversarial version covers at least this share of its area, in
            (0, 1].
        flip: Probability of mirroring left and right, in [0, 1].

    Raises:
        ValueError: If a value is out of range.
    """

    shift: float = 0.125
    min_area: float = 0.08
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.shift <= 1 and 0 < self.min_area <= 1 and 0 <= self.flip <= 1):
            raise ValueError(f"shift and flip must lie in [0, 1] and min_area in (0, 1], got {self}")


class Augmenter:
    """Changes images, each in its own way in each epoch.

    Args:
        augmentation: How they are changed.
        image_size: Side of the square images it returns, in pixels.
        seed: The user's seed.
    """

    def __init__(self, augmentation: Augmentation, image_size: int, seed: int) -> None:
        self._seed = seed
        flip = v2.RandomHorizontalFlip(augmentation.flip)
        border = round(augmentation.shift * image_size)
        self._shift = v2.Compose([v2.RandomCrop(image_size, padding=border, padding_mode="symmetric"), flip])
        scale = (augmentation.min_area, 1.0)
        crop = v2.RandomResizedCrop(image_size, scale, interpolation=InterpolationMode.BICUBIC, antialias=True)
        self._crop = v2.Compose([crop, flip, v2.PILToTensor()])

    def shift(self, images: Tensor, key: str, epoch: int) -> Tensor:
        """Shift and mirror versions of one image together.

        Args:
            images: uint8 [N, 3, H, W], N versions of the image; H and W are ``image_size``.
            key: The image's key.
            epoch: The epoch, from 0.

        Returns:
            uint8 [N, 3, H, W], whose differences from each other are those of ``images``, moved.
        """
        with self._own_randomness(key, epoch):
            return torch.as_tensor(self._shift(images))

    def crop(self, image: Image.Image, key: str, epoch: int) -> Tensor:
        """Crop an image at random, resize it, and mirror it or not.

        Args:
            image: The image, of any size.
            key: Its key.
            epoch: The epoch, from 0.

        Returns:
            uint8 [3, H, W].
        """
        with self._own_randomness(key, epoch):
            return torch.as_tensor(self._crop(image))

    @contextmanager
    def _own_randomness(self, key: str, epoch: int) -> Iterator[None]:
        """Let torchvision, which draws from torch's global generator, draw the image's own numbers."""
        generator = keyed_generator(self._seed, f"augmentation in epoch {epoch}", key)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator.integers(2**63)))
            yield
