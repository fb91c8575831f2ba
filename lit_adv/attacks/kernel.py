"""The translation kernel W, which makes a gradient translation-invariant (TIM; Dong et al., 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_kernel(size: int, num_sigmas: float = 3.0) -> Tensor:
    """Return the Gaussian kernel of TIM.

    Args:
        size: Taps along each side; odd.
        num_sigmas: The normal density is sampled at ``size`` points over [-num_sigmas, num_sigmas]. The standard
            deviation in pixels is therefore ``(size - 1) / (2 * num_sigmas)``: 1.0 for the paper's 7 x 7.

    Returns:
        float64 [size, size], summing to 1.

    Raises:
        ValueError: If ``size`` is not odd and positive.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"kernel_size {size} must be odd and positive, or 0 for no kernel")
    points = torch.linspace(-num_sigmas, num_sigmas, size, dtype=torch.float64)
    density = torch.exp(-(points**2) / 2) if size > 1 else torch.ones(1, dtype=torch.float64)
    kernel = torch.outer(density, density)
    return kernel / kernel.sum()


def convolve(gradient: Tensor, kernel: Tensor) -> Tensor:
    """Convolve each channel with the kernel (step 10 of algorithm 2 in the paper).

    Args:
        gradient: Float [B, C, H, W].
        kernel: [k, k].

    Returns:
        Float [B, C, H, W]; the border is padded with zeros.
    """
    channels = gradient.shape[1]
    weight = kernel.to(gradient).expand(channels, 1, -1, -1)
    return F.conv2d(gradient, weight, padding=kernel.shape[-1] // 2, groups=channels)
