"""JPEG compression (Dziugaite et al., 2016; Guo et al., ICLR 2018).

Each image is encoded and decoded by Pillow as a file would be: rounded to 8 bits, 4:2:0 chroma, libjpeg's own
quantization tables. The step is therefore not differentiable.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import PIL
import torch
from PIL import Image, features
from torch import Tensor, nn

from lit_adv.defenses.base import Purifier


def jpeg_round_trip(images: Tensor, quality: int) -> Tensor:
    """Compress images to JPEG and decompress them.

    Args:
        images: Float [B, 3, H, W] in [0, 1].
        quality: Pillow's ``quality``, 1 to 95.

    Returns:
        Float32 [B, 3, H, W] in [0, 1], multiples of 1/255, on the device of ``images``.
    """
    pixels = (images.detach() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    decoded = np.empty_like(pixels)
    for position, image in enumerate(pixels):
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        decoded[position] = np.asarray(Image.open(file))
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(images.device).float() / 255


def jpeg_versions() -> dict[str, str]:
    """Return the versions of what decides a pixel of :func:`jpeg_round_trip`, by name."""
    libjpeg = features.version("libjpeg_turbo") or features.version("jpg") or "unknown"
    return {"Pillow": PIL.__version__, "libjpeg": libjpeg}


class JPEGCompression(Purifier):
    """JPEG compression before a classifier.

    Args:
        model: The classifier to defend.
        quality: Pillow's ``quality``, 1 to 95.

    Raises:
        ValueError: If ``quality`` is out of range.
    """

    def __init__(self, model: nn.Module, quality: int = 50) -> None:
        super().__init__(model)
        if not 1 <= quality <= 95:
            raise ValueError(f"quality must be from 1 to 95, not {quality}")
        self.quality = quality

    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Compress and decompress; see :meth:`Purifier.purify`."""
        return jpeg_round_trip(images, self.quality)

    def libraries(self) -> dict[str, str]:
        """Return the versions of Pillow and of its libjpeg."""
        return jpeg_versions()
