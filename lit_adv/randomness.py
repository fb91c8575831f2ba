"""Random numbers that belong to an image, not to a process.

Every draw comes from a counter-based generator (Philox) keyed by the seed, the purpose and the sample's key.
An image therefore sees the same numbers whatever batch it sits in, whichever worker read it, on any rank and
after any restart.
"""

from collections.abc import Sequence
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


def _stack(blocks: Sequence[npt.NDArray[Any]], empty: tuple[int, ...], dtype: npt.DTypeLike) -> Tensor:
    return torch.from_numpy(np.stack(blocks) if blocks else np.empty(empty, dtype))
