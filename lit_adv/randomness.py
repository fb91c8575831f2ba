"""Random numbers that belong to an image, not to a process.

Every draw comes from a counter-based generator keyed by the seed, the purpose and the sample's key: Philox for a few
numbers an image, and SplitMix64, made of plain tensor operations on the images' own device, for a number a pixel. An
image therefore sees the same numbers whatever batch it sits in, whichever worker read it, on any rank and after any
restart.
"""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def keyed_generator(seed: int, purpose: str, key: str) -> np.random.Generator:
    """Return the generator of one image for one purpose.

    Args:
        seed: The user's seed; any integer.
        purpose: What the numbers are for, such as ``"input diversity"``. Purposes never share numbers.
        key: The sample's key.

    Returns:
        A generator that depends on the three arguments alone.

    Example:
        >>> a = keyed_generator(0, "demo", "image-7").random(3)
        >>> b = keyed_generator(0, "demo", "image-7").random(3)
        >>> bool((a == b).all())
        True
    """
    digest = blake2b("\0".join((str(seed), purpose, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def keyed_uniform(seed: int, purpose: str, keys: Sequence[str], *shape: int) -> Tensor:
    """Draw uniform numbers in [0, 1), one independent block for each image.

    Args:
        seed: The user's seed.
        purpose: What the numbers are for.
        keys: The B samples' keys.
        *shape: The shape of one image's block.

    Returns:
        A float64 tensor [B, *shape] on the CPU.
    """
    return _stack([keyed_generator(seed, purpose, key).random(shape) for key in keys], (0, *shape), np.float64)


def keyed_normal(seed: int, purpose: str, keys: Sequence[str], *shape: int) -> Tensor:
    """Draw standard normal numbers, one independent block for each image.

    Args:
        seed: The user's seed.
        purpose: What the numbers are for.
        keys: The B samples' keys.
        *shape: The shape of one image's block.

    Returns:
        A float32 tensor [B, *shape] on the CPU.
    """
    draws = [keyed_generator(seed, purpose, key).standard_normal(shape, dtype=np.float32) for key in keys]
    return _stack(draws, (0, *shape), np.float32)


def keyed_field(seed: int, purpose: str, keys: Sequence[str], index: int, *shape: int, device: torch.device) -> Tensor:
    """Draw a uniform number in [0, 1) for each pixel, on the images' device.

    The numbers are those of SplitMix64 (Steele et al., 2014), of whose sequence field ``index`` of an image takes
    numbers ``index * n`` to ``(index + 1) * n - 1``, n being the pixels of a field.

    Args:
        seed: The user's seed.
        purpose: What the numbers are for.
        keys: The B samples' keys.
        index: Which of the fields of this purpose; 0 and up. They do not overlap.
        *shape: The shape of one image's field, the same for all fields of a purpose.
        device: Where the numbers are made; they are the same on every device.

    Returns:
        A float32 tensor [B, *shape], multiples of 2^-24.
    """
    return _field(_uniform, seed, purpose, keys, index, shape, device)


def keyed_normal_field(
    seed: int, purpose: str, keys: Sequence[str], index: int, *shape: int, device: torch.device
) -> Tensor:
    """Draw a standard normal number for each pixel, on the images' device; see :func:`keyed_field` for the arguments.

    Returns:
        A float32 tensor [B, *shape], made by Box and Muller's transform of the upper 24 and the following 24 bits of
        each of SplitMix64's numbers.
    """
    return _field(_normal, seed, purpose, keys, index, shape, device)


def _field(
    make: Callable[[Tensor], Tensor],
    seed: int,
    purpose: str,
    keys: Sequence[str],
    index: int,
    shape: tuple[int, ...],
    device: torch.device,
) -> Tensor:
    """Make a field of an image's own stretch of SplitMix64's sequence."""
    digests = [blake2b("\0".join((str(seed), purpose, key)).encode(), digest_size=8).digest() for key in keys]
    words = [int.from_bytes(digest, "little", signed=True) for digest in digests]
    states = torch.tensor(words, dtype=torch.int64, device=device).view(-1, 1)
    count = math.prod(shape)
    numbers = torch.arange(1 + index * count, 1 + (index + 1) * count, device=device)
    numbers.mul_(_signed(0x9E3779B97F4A7C15))
    field = torch.empty(len(keys), count, dtype=torch.float32, device=device)
    # A CPU keeps the numbers of one image in its cache, and is several times as fast image by image.
    for part in range(len(keys)) if device.type == "cpu" else [slice(None)]:
        field[part] = make(_mix(numbers + states[part]))
    return field.view(len(keys), *shape)


def _mix(z: Tensor) -> Tensor:
    """Return SplitMix64's function of words, int64, which are overwritten."""
    z = _xor_shift(z, 30).mul_(_signed(0xBF58476D1CE4E5B9))
    z = _xor_shift(z, 27).mul_(_signed(0x94D049BB133111EB))
    return _xor_shift(z, 31)


def _uniform(words: Tensor, lowest: int = 40) -> Tensor:
    """Return numbers in [0, 1), float32, of the 24 bits of words from bit ``lowest``."""
    return (words >> lowest).bitwise_and_((1 << 24) - 1).to(torch.float32).mul_(2.0**-24)


def _normal(words: Tensor) -> Tensor:
    """Return standard normal numbers, float32, of words."""
    radius = _uniform(words).neg_().log1p_().mul_(-2).sqrt_()
    return radius.mul_(_uniform(words, 16).mul_(2 * math.pi).cos_())


def _signed(word: int) -> int:
    """Return the int64 that has the bits of an unsigned word."""
    return word - (1 << 64)


def _xor_shift(z: Tensor, by: int) -> Tensor:
    """Make z ^ (z >>> by) of z; the shift brings in zeros, as that of unsigned numbers does."""
    return z.bitwise_xor_((z >> by).bitwise_and_((1 << (64 - by)) - 1))


def _stack(blocks: Sequence[npt.NDArray[Any]], empty: tuple[int, ...], dtype: npt.DTypeLike) -> Tensor:
    return torch.from_numpy(np.stack(blocks) if blocks else np.empty(empty, dtype))
