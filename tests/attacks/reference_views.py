"""How a plain loop shows an image to its surrogate: each view as its paper states it, for one image.

A view returns what is seen, and the function that carries a gradient back through it.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
from torch import Tensor

from lit_adv.randomness import keyed_field, keyed_normal_field, keyed_uniform

Array = npt.NDArray[np.float64]
Back = Callable[[Array], Array]


class Showing(NamedTuple):
    """One showing of image ``b`` of a batch."""

    options: dict[str, Any]
    batch: list[Array]
    classes: list[int]
    keys: Sequence[str]
    b: int
    seed: int
    suffix: str
    zero: float
    steps: int
    slots: int
    step: int
    slot: int
    copy: int

    def uniform(self, purpose: str, *shape: int) -> Array:
        """Return this showing's uniform numbers."""
        key = self.keys[self.b]
        return _uniform(self.seed, purpose + self.suffix, key, self.steps, self.slots, *shape)[self.step, self.slot]

    def field(self, purpose: str, normal: bool = False) -> Array:
        """Return this showing's number for each pixel."""
        draw, index = keyed_normal_field if normal else keyed_field, self.step * self.slots + self.slot
        key, shape = self.keys[self.b], self.batch[0].shape
        field = draw(self.seed, purpose + self.suffix, [key], index, *shape, device=torch.device("cpu"))
        return field[0].double().numpy()


@cache
def _uniform(seed: int, purpose: str, key: str, *shape: int) -> Array:
    return keyed_uniform(seed, purpose, [key], *shape)[0].numpy()


def scale(x: Array, showing: Showing) -> tuple[Array, Back]:
    """S_i."""
    return x / 2**showing.copy, lambda g: g / 2**showing.copy


def diverse(x: Array, showing: Showing) -> tuple[Array, Back]:
    """D with its probability."""
    coin, *numbers = showing.uniform("input diversity", 4)
    if coin >= showing.options["probability"]:
        return x, lambda g: g
    return resized(x, numbers, 331 / 299, showing.options["interpolation"])


def dem(x: Array, showing: Showing) -> tuple[Array, Back]:
    """One of DEM's resizings."""
    _, *numbers = showing.uniform("diversity ensemble", 4)
    return resized(x, numbers, showing.options["ratios"][showing.copy], showing.options["interpolation"])


def resized(x: Array, numbers: list[float], ratio: float, mode: str) -> tuple[Array, Back]:
    """Resize [3, H, H] to r, pad to R, resize back: three library calls."""
    side, canvas = x.shape[-1], round(x.shape[-1] * ratio)
    r = side + int(numbers[0] * (canvas - side))
    top, left = (int(number * (canvas - r + 1)) for number in numbers[1:])

    def three_calls(leaf: Tensor) -> Tensor:
        resized = F.interpolate(leaf[None], (r, r), mode=mode)
        padded = F.pad(resized, (left, canvas - r - left, top, canvas - r - top))
        return F.interpolate(padded, (side, side), mode=mode)[0]

    leaf = torch.from_numpy(x).requires_grad_()
    seen = three_calls(leaf)
    return seen.detach().numpy(), lambda g: torch.autograd.grad(seen, leaf, torch.from_numpy(g))[0].numpy()


def admix(x: Array, showing: Showing) -> tuple[Array, Back]:
    """Mix in a partner, x + eta x', x' from another class of the batch if there is one, in the order of the keys."""
    others = sorted((key, i) for i, key in enumerate(showing.keys) if key != showing.keys[showing.b])
    of_other_class = [(key, i) for key, i in others if showing.classes[i] != showing.classes[showing.b]]
    if not (others := of_other_class or others):
        return x, lambda g: g
    draws = _uniform(
        showing.seed, "admix" + showing.suffix, showing.keys[showing.b], showing.steps, showing.options["copies"]
    )
    _, partner = others[int(draws[showing.step, showing.copy] * len(others))]
    return x + showing.options["strength"] * (showing.batch[partner] - showing.zero), lambda g: g


def ssm(x: Array, showing: Showing) -> tuple[Array, Back]:
    """IDCT(DCT(x + xi) * M)."""
    rho = showing.options["rho"]
    xi = showing.options["noise"] * showing.field("spectrum noise", normal=True)
    M = 1 - rho + 2 * rho * showing.field("spectrum factors")

    def through(image: Array) -> Array:
        return idctn(M * dctn(image, axes=(1, 2), norm="ortho"), axes=(1, 2), norm="ortho")

    return through(x + xi), through  # symmetric: the transform is orthogonal and M is diagonal


def sia(x: Array, showing: Showing) -> tuple[Array, Back]:
    """Each block changed in its own way."""
    n, side = showing.options["blocks"], x.shape[-1]
    numbers = showing.uniform("structure invariance", 2 * n + 2 * n * n)
    rows, columns = (_ends(-np.log(1 - u), side) for u in (numbers[:n], numbers[n : 2 * n]))
    choices, amounts = numbers[2 * n : 2 * n + n * n], numbers[2 * n + n * n :]
    noise = showing.options["noise"] * (2 * showing.field("structure noise") - 1)
    seen, ways_back = x.copy(), []
    for i, j in np.ndindex(n, n):
        block = np.s_[:, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
        if x[block].size:
            seen[block], way_back = _changed(
                x[block], int(7 * choices[i * n + j]), amounts[i * n + j], noise[block], showing
            )
            ways_back.append((block, way_back))

    def back(g: Array) -> Array:
        result = np.zeros_like(g)
        for block, way_back in ways_back:
            result[block] = way_back(g[block])
        return result

    return seen, back


def _changed(block: Array, choice: int, amount: float, noise: Array, showing: Showing) -> tuple[Array, Back]:
    down, right = int(amount * block.shape[1]), int(amount * block.shape[2])
    match choice:
        case 0:
            return np.roll(block, down, axis=1), lambda g: np.roll(g, -down, axis=1)
        case 1:
            return np.roll(block, right, axis=2), lambda g: np.roll(g, -right, axis=2)
        case 2:
            return np.flip(block, 1), lambda g: np.flip(g, 1)
        case 3:
            return np.flip(block, 2), lambda g: np.flip(g, 2)
        case 4:
            return np.rot90(block, 2, (1, 2)), lambda g: np.rot90(g, 2, (1, 2))
        case 5:
            return amount * block, lambda g: amount * g
    noisy = block + noise
    clipped = np.clip(noisy, -showing.zero, 1 - showing.zero)
    return clipped, lambda g: g * (clipped == noisy)


def bsr(x: Array, showing: Showing) -> tuple[Array, Back]:
    """Strips change places along both axes, then every block turns about its center."""
    n, side = showing.options["blocks"], x.shape[-1]
    numbers = showing.uniform("block shuffle", 4 * n + n * n)
    tops, lefts, down, across = numbers[: 4 * n].reshape(4, n)
    rows, columns = _ends(tops, side), _ends(lefts, side)
    sources, top = {}, 0
    for i in sorted(range(n), key=down.__getitem__):
        tall, left = rows[i + 1] - rows[i], 0
        for j in sorted(range(n), key=across.__getitem__):
            wide = columns[j + 1] - columns[j]
            angle = (2 * numbers[4 * n + i * n + j] - 1) * math.radians(showing.options["rotation"])
            for r, c in np.ndindex(tall, wide):
                y, z = r + 0.5 - tall / 2, c + 0.5 - wide / 2
                row = math.floor(math.cos(angle) * y + math.sin(angle) * z + tall / 2 + 1e-9)
                column = math.floor(math.cos(angle) * z - math.sin(angle) * y + wide / 2 + 1e-9)
                if 0 <= row < tall and 0 <= column < wide:
                    sources[top + r, left + c] = rows[i] + row, columns[j] + column
            left += wide
        top += tall
    return _moved(x, sources)


def affine(x: Array, showing: Showing) -> tuple[Array, Back]:
    """Turn, shift and zoom about the center, pixel by pixel."""
    side = x.shape[-1]
    turn, down, right, zoom = 2 * showing.uniform("affine", 4) - 1
    angle, factor = turn * math.radians(showing.options["degrees"]), showing.options["zoom"] ** zoom
    shift = showing.options["translate"] * side
    sources = {}
    for r, c in np.ndindex(side, side):
        y, z = r + 0.5 - side / 2 - down * shift, c + 0.5 - side / 2 - right * shift
        row = math.floor((math.cos(angle) * y + math.sin(angle) * z) / factor + side / 2)
        column = math.floor((math.cos(angle) * z - math.sin(angle) * y) / factor + side / 2)
        if 0 <= row < side and 0 <= column < side:
            sources[r, c] = row, column
    return _moved(x, sources)


def _ends(sizes: Array, side: int) -> list[int]:
    """Return where strips begin and end, for sizes in any unit."""
    shares = np.cumsum(sizes) / np.sum(sizes)
    return [0, *(round(float(share) * side) for share in shares[:-1]), side]


def _moved(x: Array, sources: dict[tuple[int, int], tuple[int, int]]) -> tuple[Array, Back]:
    """Copy pixels; all that come from nowhere are zero."""
    seen = np.zeros_like(x)
    for (r, c), (row, column) in sources.items():
        seen[:, r, c] = x[:, row, column]

    def back(g: Array) -> Array:
        result = np.zeros_like(g)
        for (r, c), (row, column) in sources.items():
            result[:, row, column] += g[:, r, c]
        return result

    return seen, back


def hue(x: Array, showing: Showing) -> tuple[Array, Back]:
    """Turn the colors about the axis of the greys."""
    angle = (2 * showing.uniform("hue") - 1) * math.radians(showing.options["degrees"])
    turn = Rotation.from_rotvec(angle * np.ones(3) / math.sqrt(3))
    side = x.shape[-1]

    def turned(colors: Array, by: Rotation) -> Array:
        return by.apply(colors.reshape(3, -1).T).T.reshape(3, side, side)

    return turned(x, turn), lambda g: turned(g, turn.inv())


def blur(x: Array, showing: Showing) -> tuple[Array, Back]:
    """A Gaussian blur with zeros beyond the border."""
    sigma, side = showing.options["sigma"] * float(showing.uniform("blur")), x.shape[-1]

    def blurred(image: Array) -> Array:
        for axis in (1, 2):
            image = gaussian_filter1d(image, sigma, axis, mode="constant", radius=side)
        return image

    return blurred(x), blurred


VIEWS: dict[str, Callable[[Array, Showing], tuple[Array, Back]]] = {
    "scale": scale,
    "diverse": diverse,
    "dem": dem,
    "admix": admix,
    "ssm": ssm,
    "sia": sia,
    "bsr": bsr,
    "affine": affine,
    "hue": hue,
    "blur": blur,
}
