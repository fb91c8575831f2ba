"""Feature distillation, FD (Liu et al., CVPR 2019).

A JPEG-like compression whose quantization is made for networks rather than for eyes. Each color channel, in units
of 0 to 255, is cut into 8x8 blocks; a block's orthonormal DCT is rounded to multiples of 25 in the 4x4 lowest
frequencies and of 30 elsewhere; the inverse transform is clipped to the range of an image.

As in the authors' code there is no shift by 128, no change of color space, and one pass at test time (their
"two-pass" also processes clean images). Deliberately different:

- the authors' loop leaves the first image of a batch black; here every image is processed;
- sides that 8 does not divide are padded by repeating the edge, and cropped back. A common port resizes 299 to 304
  instead and wraps values outside 0 to 255 around, which corrupts every image.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.fft import dct
from torch import Tensor

from lit_adv.defenses.base import Purifier

_BLOCK = 8
_STEP = 30.0
_LOW_STEP = 25.0  # of the 4x4 lowest frequencies


def feature_distillation(images: Tensor) -> Tensor:
    """Quantize images in the DCT domain.

    Args:
        images: Float [B, C, H, W] in [0, 1].

    Returns:
        A tensor like ``images``, in [0, 1].
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (0, -width % _BLOCK, 0, -height % _BLOCK), mode="replicate")
    # In double precision the rounding below decides as the authors' (NumPy) does.
    blocks = _to_blocks(padded.double() * 255)
    transform = torch.from_numpy(dct(torch.eye(_BLOCK, dtype=torch.float64).numpy(), axis=0, norm="ortho"))
    transform = transform.to(images.device)
    steps = torch.full((_BLOCK, _BLOCK), _STEP, dtype=torch.float64, device=images.device)
    steps[:4, :4] = _LOW_STEP
    coefficients = transform @ blocks @ transform.T
    quantized = (coefficients / steps).round() * steps
    restored = _from_blocks(transform.T @ quantized @ transform) / 255
    return restored[..., :height, :width].clamp(0, 1).to(images.dtype)


def _to_blocks(images: Tensor) -> Tensor:
    """Cut [B, C, H, W] into [B, C, H / 8, W / 8, 8, 8]."""
    batch, channels, height, width = images.shape
    return images.reshape(batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(3, 4)


def _from_blocks(blocks: Tensor) -> Tensor:
    """Undo :func:`_to_blocks`."""
    return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)


class FeatureDistillation(Purifier):
    """Feature distillation before a classifier."""

    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Distill; see :meth:`Purifier.purify`."""
        return feature_distillation(images)
