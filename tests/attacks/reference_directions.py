"""Where a plain loop takes its gradients: each direction as its paper prints it, for one image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from lit_adv.randomness import keyed_field, keyed_generator
from tests.attacks.reference_views import Array


@dataclass
class World:
    """What a direction knows of one attack on one image."""

    image: Array
    key: str
    seed: int
    eps: float
    alpha: float
    steps: int
    period: int
    weights: Sequence[float]

    @property
    def members(self) -> int:
        return len(self.weights)

    def around(self, point: Array, radius: float, index: int) -> Array:
        """Return the ``index``-th random point within ``radius``."""
        shape = self.image.shape
        u = keyed_field(self.seed, "neighbors", [self.key], index, *shape, device=torch.device("cpu"))[0]
        return point + radius * (2 * u.double().numpy() - 1)

    def clip(self, x: Array) -> Array:
        """Clip to the budget and the unit range."""
        return np.clip(x, self.image - self.eps, self.image + self.eps).clip(0, 1)


class Take(Protocol):
    """The gradient at a point; the step's ``number``-th."""

    def __call__(self, point: Array, number: int, member: int | None = None) -> Array: ...


#: Maps a gradient, the step's start, the look-ahead point and the step to the step's gradient.
Follow = Callable[[Take, Array, Array, int], Array]


def per_mean(g: Array) -> Array:
    """Divide by the mean absolute value."""
    return g / np.abs(g).mean() if g.any() else g


def plain(o: dict[str, Any], world: World) -> Follow:
    """MI, NI."""
    return lambda take, x, ahead, t: take(ahead, 0)


def variance_tuning(o: dict[str, Any], world: World) -> Follow:
    """Algorithm 1 of Wang and He, with the authors' neighbors of x."""
    v = np.zeros_like(world.image)

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        nonlocal v
        g_hat = take(ahead, 0)
        tuned = g_hat + v
        neighbors = [world.around(x, o["beta"] * world.eps, t * o["samples"] + i) for i in range(o["samples"])]
        v = np.mean([take(neighbor, 1 + i) for i, neighbor in enumerate(neighbors)], axis=0) - g_hat
        return tuned

    return follow


def enhanced_momentum(o: dict[str, Any], world: World) -> Follow:
    """EMI, with linear sampling."""
    last = np.zeros_like(world.image)

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        nonlocal last
        c = np.linspace(-o["radius"], o["radius"], o["samples"])
        G = np.mean([take(ahead + c[i] * world.alpha * last, i) for i in range(o["samples"])], axis=0)
        last = per_mean(G)
        return G

    return follow


def gradient_relevance(o: dict[str, Any], world: World) -> Follow:
    """GRA."""

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        own = take(ahead, 0)
        near = [world.around(ahead, o["beta"] * world.eps, t * o["samples"] + i) for i in range(o["samples"])]
        others = np.mean([take(point, 1 + i) for i, point in enumerate(near)], axis=0)
        s = np.vdot(own, others) / np.sqrt(np.vdot(own, own) * np.vdot(others, others))
        return s * own + (1 - s) * others

    return follow


def penalized_gradient_norm(o: dict[str, Any], world: World) -> Follow:
    """PGN."""

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        total = np.zeros_like(x)
        for i in range(o["samples"]):
            near = world.around(ahead, o["zeta"] * world.eps, t * o["samples"] + i)
            first = take(near, 2 * i)
            second = take(near - world.alpha * first / np.abs(first).mean(), 2 * i + 1)
            total += ((1 - o["delta"]) * first + o["delta"] * second) / o["samples"]
        return total

    return follow


def longitudinal(o: dict[str, Any], world: World) -> Follow:
    """Members in turn."""
    asked = 0
    seen = set[tuple[int, int]]()

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        nonlocal asked
        total = np.zeros_like(x)
        moment = (t % world.period, asked % world.members)
        if world.period > 1 and moment in seen:  # everything would come again as it was
            asked += 1
            seen.clear()
        seen.add((t % world.period, asked % world.members))
        for i in range(o["members_a_step"]):
            total += take(ahead, i, member=asked % world.members) / o["members_a_step"]
            asked += 1
        return total

    return follow


def variance_reduced(o: dict[str, Any], world: World) -> Follow:
    """The inner loop of SVRE-MI, with its momentum normalized as in the authors' code."""

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        ensemble = take(ahead, 0)
        x_m, G_m = ahead, np.zeros_like(x)
        draws = keyed_generator(world.seed, "members", str(t)).random(o["inner"])
        ends = np.cumsum(world.weights) / sum(world.weights)
        for m, k in enumerate(int(np.argmax(ends > draw)) for draw in draws):
            g_m = take(x_m, 1 + m, member=k) - (take(ahead, 1 + m, member=k) - ensemble)
            G_m = o["momentum"] * G_m + g_m / np.abs(g_m).mean()
            x_m = world.clip(x_m + world.alpha * np.sign(G_m))
        return G_m

    return follow


def common_weakness(o: dict[str, Any], world: World) -> Follow:
    """MI-CWA."""
    h = np.zeros_like(world.image)

    def follow(take: Take, x: Array, ahead: Array, t: int) -> Array:
        nonlocal h
        x_k = world.clip(ahead - o["reverse"] * np.sign(take(ahead, 0)))
        for k in range(world.members):
            g = take(x_k, 1, member=k)
            h = o["momentum"] * h + g / np.sqrt(np.vdot(g, g))
            x_k = world.clip(x_k + o["inner"] * h)
        return x_k - world.clip(ahead)

    return follow


DIRECTIONS: dict[str, Callable[[dict[str, Any], World], Follow]] = {
    "plain": plain,
    "ni": plain,
    "vmi": variance_tuning,
    "vni": variance_tuning,
    "emi": enhanced_momentum,
    "gra": gradient_relevance,
    "pgn": penalized_gradient_norm,
    "longitudinal": longitudinal,
    "longitudinal_ni": longitudinal,
    "svre": variance_reduced,
    "cwa": common_weakness,
}
