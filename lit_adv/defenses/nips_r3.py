"""NIPS-r3: "MMD", third in the NIPS 2017 defense competition (Anil Thomas and Oguz Elibol).

Four distorted views of the image go to an ensemble whose weighted logits are added:

- ``tcd``: JPEG compression of quality 50;
- ``ens``: a random shear, shift, zoom and rotation, each a nearest-neighbor warp that fills with mid-grey;
- ``inc``: Gaussian noise, a rotation by 2 or 3 degrees either way, a zoom by 1.05 to 1.10, the central crop;
- ``vgg``: ``tcd``, such a rotation, a zoom by 0.75 to 0.80, the central 224/299 of the image's size.

The entry's members (view and weight): ``ens_adv_inception_resnet_v2`` (ens 0.7, tcd 0.1), ``adv_inception_v3``
(inc 0.2, tcd 0.1), VGG-16 (vgg 0.1) and ResNet-v2-152 (vgg 0.05, as the entry's code has it). A member with an
auxiliary head, as ``slim:`` loads it with ``?aux=0.4``, adds 0.8 times its weight of that head's logits. The entry's
decision is the largest of the summed logits; the softmax it takes first changes nothing.

Deliberately different from the competition's code:

- random numbers come from the sample's key, where the entry draws from one stream in the order of the files;
- each member's own normalization replaces the fixed ones, and crops scale with the image where it is not 299;
- ResNet-v2-152 runs in evaluation mode (the entry does not say which, its weight is 0.05).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from lit_adv.defenses.base import Defense, head_logits
from lit_adv.defenses.jpeg import jpeg_round_trip, jpeg_versions
from lit_adv.randomness import keyed_generator

View = Literal["tcd", "ens", "inc", "vgg"]
Array = NDArray[np.float64]

_QUALITY = 50
_VGG_CROP = 224 / 299
#: Factors of the main head's logits and the auxiliary head's.
_HEADS = (1.0, 0.8)


@dataclass(frozen=True)
class Member:
    """One vote of the ensemble.

    Attributes:
        view: The distortion that the classifier sees.
        weight: Factor of the classifier's logits.
        model: The classifier; None stands for the classifier that is being defended.
    """

    view: View
    weight: float
    model: nn.Module | None = None


#: The entry's weights of the four views, for an ensemble of one classifier.
SINGLE_MODEL: tuple[Member, ...] = (
    Member("ens", 0.7),
    Member("inc", 0.2),
    Member("tcd", 0.2),
    Member("vgg", 0.15),
)


class NIPSR3(Defense):
    """The weighted ensemble of distorted views.

    Args:
        model: The classifier to defend; members without a classifier of their own use it.
        members: The ensemble. The default gives all four views, with the entry's weights, to ``model``.
        seed: Seed of the distortions.

    Raises:
        ValueError: If there are no members or a view is unknown.
    """

    scores_auxiliary_heads = True

    def __init__(self, model: nn.Module, members: Sequence[Member] = SINGLE_MODEL, seed: int = 0) -> None:
        super().__init__()
        if not members:
            raise ValueError("NIPS-r3 needs at least one member")
        if unknown := {member.view for member in members} - _VIEWS.keys():
            raise ValueError(f"unknown views {sorted(unknown)}; the views are {', '.join(_VIEWS)}")
        self.members = tuple(members)
        # Registered so that they move to the device with the defense.
        self.models = nn.ModuleList(member.model or model for member in members)
        self.seed = seed

    def scores(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Return the members' weighted sum of logits."""
        needed = {member.view for member in self.members}
        views = {view: distorted_view(view, images, keys, self.seed) for view in needed}
        total = torch.zeros((), device=images.device)
        for member, model in zip(self.members, self.models, strict=True):
            for factor, logits in zip(_HEADS, head_logits(model, views[member.view]), strict=False):
                total = total + member.weight * factor * logits.float()
        return total

    def libraries(self) -> dict[str, str]:
        """Return the versions of Pillow, of its libjpeg and of SciPy."""
        return {**jpeg_versions(), "scipy": scipy.__version__}


def distorted_view(view: View, images: Tensor, keys: Sequence[str], seed: int) -> Tensor:
    """Distort images as the competition entry does.

    Args:
        view: Which of the entry's four distortions.
        images: Float [B, 3, H, W] in [0, 1].
        keys: The B samples' keys.
        seed: The user's seed.

    Returns:
        Float32 [B, 3, H', W'], H' being H, or ``round(H * 224 / 299)`` for ``vgg``. Cubic interpolation may leave
        [0, 1] a little; the entry does not clip.
    """
    source = jpeg_round_trip(images, _QUALITY) if view in ("tcd", "vgg") else images
    arrays = source.detach().permute(0, 2, 3, 1).double().cpu().numpy()
    distorted = [
        _VIEWS[view](array, keyed_generator(seed, f"NIPS-r3: {view}", key))
        for array, key in zip(arrays, keys, strict=True)
    ]
    return torch.from_numpy(np.stack(distorted)).permute(0, 3, 1, 2).float().to(images.device)


def _transcoded(image: Array, generator: np.random.Generator) -> Array:
    return image


def _warped(image: Array, generator: np.random.Generator) -> Array:
    """Shear, shift, zoom and rotate an image [H, W, 3], in this order."""

    def jitter(value: float) -> float:
        return value * float(generator.integers(95, 106) / 100)

    height, width, _ = image.shape
    # The order of the draws is the entry's.
    shear, angle = jitter(np.pi / 128), jitter(-np.pi / 128)
    shift = np.array([int(jitter(0.02 * width)), int(jitter(0.02 * height))])
    zoom = np.diag([jitter(0.95), jitter(0.95)])
    sheared = np.array([[1, -np.sin(shear)], [0, np.cos(shear)]])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.array([height, width]) / 2 + 0.5
    warps = [(matrix, center - matrix @ center) for matrix in (sheared, zoom, rotation)]
    warps.insert(1, (np.eye(2), shift))

    signed = image * 2 - 1  # the warps fill with zero: mid-grey, since the entry's images lie in [-1, 1]
    for matrix, offset in warps:
        channels = [ndimage.affine_transform(channel, matrix, offset, order=0) for channel in np.moveaxis(signed, 2, 0)]
        signed = np.stack(channels, axis=2)
    return (signed + 1) / 2


def _noisy(image: Array, generator: np.random.Generator) -> Array:
    """Add noise to an image [H, W, 3], rotate it and enlarge it."""
    signed = image * 2 - 1  # in which range the noise is meant, and zero, which the rotation fills with, is mid-grey
    signed = np.clip(signed + generator.standard_normal(image.shape) * 4 / 255, -1, 1)
    height, width, _ = image.shape
    return (_rotated_and_zoomed(signed, (1.05, 1.10), (height, width), generator) + 1) / 2


def _reduced(image: Array, generator: np.random.Generator) -> Array:
    """Rotate an image [H, W, 3] and reduce it."""
    height, width, _ = image.shape
    size = round(height * _VGG_CROP), round(width * _VGG_CROP)
    return _rotated_and_zoomed(image, (0.75, 0.80), size, generator)


def _rotated_and_zoomed(
    image: Array, zoom: tuple[float, float], size: tuple[int, int], generator: np.random.Generator
) -> Array:
    """Rotate by 2 or 3 degrees either way, zoom each axis by a factor from a range, and crop the center."""
    angle = generator.integers(2, 4)
    if generator.integers(2) == 0:
        angle = -angle
    rotated = ndimage.rotate(image, angle)
    factors = generator.uniform(*zoom), generator.uniform(*zoom)
    # Channel by channel: the entry's zoom in three dimensions gives the same and takes five times as long.
    zoomed = np.stack([ndimage.zoom(channel, factors) for channel in np.moveaxis(rotated, 2, 0)], axis=2)
    top, left = ((have - want) // 2 for have, want in zip(zoomed.shape, size, strict=False))
    return zoomed[top : top + size[0], left : left + size[1]]


_VIEWS: dict[View, Callable[[Array, np.random.Generator], Array]] = {
    "tcd": _transcoded,
    "ens": _warped,
    "inc": _noisy,
    "vgg": _reduced,
}
