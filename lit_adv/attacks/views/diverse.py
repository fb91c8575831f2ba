"""Diverse input D: random resizing and padding, differentiable (DIM; Xie et al., 2019).

With a probability p an image of side H is resized to r x r, r uniform in [H, R) with R = round(H * 331 / 299),
padded to R x R at a uniform offset, and resized back to H x H. The three steps compose to one linear map along
each axis, ``D(x) = A x B^T``, so a batch whose images all have other sizes takes two matrix products. For nearest
neighbor each row of A holds at most a single one, so the map also is a sampling of single pixels, which is the
faster form on a CPU. On a GPU the backward pass of such a sampling adds atomically; matrix products do not, so runs
repeat bit for bit.

The authors draw once a batch. Here each image draws for itself, so that its adversarial version does not depend
on the batch it sits in.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_adv.attacks.views.base import Moment, Scene, Transform, View

Interpolation = Literal["nearest", "bilinear"]

#: R / H in the authors' code: 299-pixel images are padded to 331.
CANVAS_RATIO = 331 / 299


@dataclass(frozen=True)
class Diverse(View):
    """The diverse input.

    Attributes:
        probability: Probability p that an image is transformed.
        interpolation: Of both resizings; the authors use ``nearest``.
    """

    copies: ClassVar = 1
    bounds: ClassVar = {"probability": (0, 1)}

    probability: float = 0.5
    interpolation: Interpolation = "nearest"

    @property
    def varies(self) -> bool:
        """Unless it never transforms."""
        return self.probability > 0

    def prepare(self, scene: Scene) -> Transform:
        """Draw how each image is shown each time, and return D."""
        if self.probability == 0:
            return lambda centered, moment: centered
        uniform = scene.uniform("input diversity", 4)
        height, width = scene.images.shape[-2:]

        def diverse(centered: Tensor, moment: Moment) -> Tensor:
            axes = draw_axes(uniform[:, moment.step, moment.slot], height, width, self.probability)
            return diverse_input(centered, axes, self.interpolation)

        return diverse


@dataclass(frozen=True)
class Axis:
    """One axis of the batch's random views.

    Attributes:
        side: Length of the axis, in pixels.
        canvas: int64 [B] or [1], length of the padded canvas.
        size: int64 [B], length after the first resizing.
        offset: int64 [B], where the resized image starts on the canvas.
        applied: bool [B], whether the image is transformed at all.
    """

    side: int
    canvas: Tensor
    size: Tensor
    offset: Tensor
    applied: Tensor


def draw_axes(
    uniform: Tensor, height: int, width: int, probability: float, ratio: float | Tensor = CANVAS_RATIO
) -> tuple[Axis, Axis]:
    """Turn uniform numbers into random views.

    Args:
        uniform: [B, 4] in [0, 1): coin, size, vertical and horizontal offset.
        height: Height of the images.
        width: Width of the images.
        probability: The probability p that an image is transformed.
        ratio: R / H, of all or, float64 [B], of each.

    Returns:
        The vertical and the horizontal axis. Both share the coin and the relative size.
    """
    coin, size, top, left = uniform.unbind(1)

    def axis(side: int, position: Tensor) -> Axis:
        canvas = torch.as_tensor(side * ratio, dtype=torch.float64, device=uniform.device).round().long().view(-1)
        sizes = side + (size * (canvas - side)).long()
        offsets = (position * (canvas - sizes + 1)).long()
        return Axis(side, canvas, sizes, offsets, (coin < probability) & (canvas > side))

    return axis(height, top), axis(width, left)


def diverse_input(images: Tensor, axes: tuple[Axis, Axis], interpolation: Interpolation) -> Tensor:
    """Apply D to a batch; the padding is zero.

    Args:
        images: Float [B, C, H, W].
        axes: The random views of :func:`draw_axes`, on the images' device.
        interpolation: Of both resizings; the authors use ``nearest``.

    Returns:
        Float [B, C, H, W].
    """
    # Outside autocast: bfloat16 holds 8 bits of a pixel, no more than the image itself.
    with torch.autocast(images.device.type, enabled=False):
        if interpolation == "nearest" and images.device.type == "cpu":
            return F.grid_sample(images, _grid(axes).to(images), mode="nearest", align_corners=False)
        rows, columns = (_axis_matrix(axis, interpolation).to(images)[:, None] for axis in axes)
        return rows @ images @ columns.mT


def _grid(axes: tuple[Axis, Axis]) -> Tensor:
    """Return where each output pixel comes from, [B, H, W, 2] as ``grid_sample`` wants it: x first, in [-1, 1]."""
    y, x = (_normalized_sources(axis) for axis in axes)
    size = (len(y), y.shape[1], x.shape[1])
    return torch.stack((x[:, None, :].expand(size), y[:, :, None].expand(size)), dim=-1)


def _normalized_sources(axis: Axis) -> Tensor:
    source, inside = _nearest_sources(axis)
    return torch.where(inside, (2 * source + 1) / axis.side - 1, -3.0)  # -3 lies outside, where zeros are


def _nearest_sources(axis: Axis) -> tuple[Tensor, Tensor]:
    """Return, for each output pixel, the input pixel it copies, int64 [B, side], and whether it copies one."""
    output = torch.arange(axis.side, device=axis.size.device)
    on_resized = output * axis.canvas[:, None] // axis.side - axis.offset[:, None]
    inside = (on_resized >= 0) & (on_resized < axis.size[:, None])
    source = torch.where(inside, on_resized * axis.side // axis.size[:, None], 0)
    unchanged = ~axis.applied[:, None]
    return torch.where(unchanged, output, source), inside | unchanged


def _axis_matrix(axis: Axis, interpolation: Interpolation) -> Tensor:
    """Return the linear map of one axis, [B, side, side]."""
    if interpolation == "nearest":
        source, inside = _nearest_sources(axis)
        return torch.zeros(*source.shape, axis.side, device=source.device).scatter_(
            2, source[..., None], inside[..., None].float()
        )
    matrix = torch.zeros(len(axis.size), axis.side, axis.side, dtype=torch.float64, device=axis.size.device)
    output = torch.arange(axis.side, device=matrix.device)
    # What an output pixel blends on the canvas, and what each of these pixels blends of the image.
    for on_canvas, share in _bilinear_sources(output, axis.canvas[:, None], axis.side):
        position = on_canvas - axis.offset[:, None]
        inside = (position >= 0) & (position < axis.size[:, None])
        for source, weight in _bilinear_sources(position, axis.side, axis.size[:, None]):
            matrix.scatter_add_(2, source[..., None], torch.where(inside, share * weight, 0)[..., None])
    identity = torch.eye(axis.side, dtype=matrix.dtype, device=matrix.device)
    return torch.where(axis.applied[:, None, None], matrix, identity)


def _bilinear_sources(position: Tensor, side: int | Tensor, size: int | Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the two of ``side`` pixels that each of ``size`` blends, with their weights in float64."""
    # Pixel centers map to pixel centers (align_corners=False).
    source = ((position.double() + 0.5) * side / size - 0.5).clamp(min=0).minimum(torch.as_tensor(side - 1))
    lower = source.floor().long()
    fraction = source - lower
    return [(lower, 1 - fraction), ((lower + 1).minimum(torch.as_tensor(side - 1)), fraction)]
