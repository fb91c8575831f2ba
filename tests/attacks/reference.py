"""The gradient-sign family once more, as a plain loop over images in float64.

Written from the papers' text, independent of the package: no batches, no precomputed maps, and every step a call of
numpy, scipy or torch. It shares with the package what its settings say and where random numbers come from, no more.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from scipy.signal import convolve2d
from scipy.stats import norm
from torch import Tensor, nn

from lit_adv.randomness import keyed_uniform
from tests.attacks.reference_directions import DIRECTIONS, Take, World
from tests.attacks.reference_views import VIEWS, Array, Showing


@dataclass
class Surrogate:
    """One or several networks; several are fused by the weighted mean of their logits."""

    members: Sequence[nn.Module]
    weights: Sequence[float]

    def logits(self, image: Tensor, member: int | None) -> Tensor:
        """Return the logits of one image [3, H, W], [classes]."""
        if member is not None:
            return self.members[member](image[None])[0]  # type: ignore[no-any-return]
        total = sum(w * m(image[None])[0] for w, m in zip(self.weights, self.members, strict=True))
        return total / sum(self.weights)  # type: ignore[return-value]


def loss_of(name: str, options: dict[str, Any], logits: Tensor, label: int, origin: int) -> Tensor:
    """Return what an untargeted attack drives up."""
    if name == "cross_entropy":
        return -logits.log_softmax(0)[label]
    if name == "logit":
        return -logits[label]
    if name == "margin":
        return torch.stack([z for k, z in enumerate(logits) if k != label]).max() - logits[label]
    assert name == "po_trip"
    wanted, true = torch.zeros_like(logits), torch.zeros_like(logits)
    wanted[label], true[origin] = 1, 1
    u = logits / sum(abs(z) for z in logits)
    v = torch.maximum(wanted - options["shrink"], torch.zeros(()))
    poincare = torch.arccosh(1 + 2 * ((u - v) @ (u - v)) / ((1 - u @ u) * (1 - v @ v)))
    to_wanted, to_true = (1 - (logits @ one).abs() / logits.norm() for one in (wanted, true))
    triplet = torch.maximum(to_wanted - to_true + options["margin"], torch.zeros(()))
    return poincare + options["weight"] * triplet


def convolve(gradient: Array, size: int) -> Array:
    """Convolve each channel with the normal density sampled over [-3, 3]; zeros outside."""
    density = norm.pdf(np.linspace(-3, 3, size))
    kernel = np.outer(density, density)
    return np.stack([convolve2d(channel, kernel / kernel.sum(), mode="same") for channel in gradient])


def plain_attack(
    network: nn.Module | Surrogate, images: Tensor, labels: Tensor, keys: Sequence[str], settings: dict[str, Any]
) -> Tensor:
    """Attack each image of a batch alone.

    Args:
        network: The surrogate, in float64.
        images: [B, 3, H, H] in float64.
        labels: [B].
        keys: The B keys.
        settings: What :func:`lit_adv.attacks.describe_attack` says of the attack: parts have all of their options.

    Returns:
        [B, 3, H, H].
    """
    surrogate = network if isinstance(network, Surrogate) else Surrogate([network], [1.0])
    batch = [image.numpy() for image in images]
    made = [_attack_one(surrogate, batch, labels.tolist(), keys, b, settings) for b in range(len(batch))]
    return torch.from_numpy(np.stack(made))


def _attack_one(
    surrogate: Surrogate, batch: list[Array], labels: list[int], keys: Sequence[str], b: int, settings: dict[str, Any]
) -> Array:
    image, key, seed = batch[b], keys[b], settings["seed"]
    eps = _fraction(settings["eps"])
    steps, warm_up = settings["steps"], settings.get("warm_up_steps", 0)
    alpha = _fraction(settings["step_size"] or eps / steps * settings.get("step_factor", 1))
    label, origin, sign = _goal(surrogate, image, labels[b], key, settings)
    classes = [_goal(surrogate, *one, settings)[1] for one in zip(batch, labels, keys, strict=True)]
    views = _named(settings.get("views") or _flat_views(settings))
    ((direction, options),) = _named([settings.get("direction", "plain")])
    ((loss, loss_options),) = _named([settings.get("loss", "cross_entropy")])
    counts = [_copies(name, given) for name, given in views]
    copies = _copies_of_steps(settings, key, counts, steps, warm_up)
    share = len(copies[0])
    slots = share * GRADIENTS[direction](options)
    zero = {"inception": 0.5, "unit": 0.0}[settings["scale_space"]]

    def gradient(point: Array, t: int, number: int, member: int | None) -> Array:
        total = np.zeros_like(image)
        for slot, own in enumerate(copies[t], start=number * share):
            seen, ways_back, used = point - zero, [], dict[str, int]()
            for (name, given), copy in zip(views, own, strict=True):
                used[name] = used.get(name, 0) + 1
                suffix = "" if used[name] == 1 else f" {used[name]}"
                showing = Showing(
                    given, batch, classes, keys, b, seed, suffix, zero, steps + warm_up, slots, t, slot, copy
                )
                seen, way_back = VIEWS[name](seen, showing)
                ways_back.append(way_back)
            leaf = torch.from_numpy(seen + zero).requires_grad_()
            value = loss_of(loss, loss_options, surrogate.logits(leaf, member), label, origin)
            back = torch.autograd.grad(value, leaf)[0].numpy()
            for way_back in reversed(ways_back):
                back = way_back(back)
            total += back
        return sign * total / share

    period = next(p for p in itertools.count(1) if p * share % math.prod(counts) == 0)
    if settings.get("copy_order") == "drawn":
        period = 1
    world = World(image, key, seed, eps, alpha, steps + warm_up, period, surrogate.weights)
    follow = DIRECTIONS[direction](options, world)
    move = _mover(settings, steps, warm_up, image)
    start = image
    if settings["random_start"]:
        noise = 2 * keyed_uniform(seed, "random start", [key], *image.shape)[0].numpy() - 1
        start = np.clip(image + eps * noise, 0, 1)
    x, g = start, np.zeros_like(image)
    nesterov = settings["nesterov"] or direction in ("ni", "vni", "longitudinal_ni")
    for t in range(steps + warm_up):
        length = alpha * settings.get("warm_up_factor", 10.0) if t < warm_up else alpha
        ahead = x + length * settings["momentum"] * g if nesterov else x
        take: Take = lambda point, number, member=None: gradient(point, t, number, member)  # noqa: B023, E731
        G = follow(take, x, ahead, t)
        if settings["kernel_size"]:
            G = convolve(G, settings["kernel_size"])
        g, way = move(G, t)
        x = np.clip(x + length * way, image - eps, image + eps).clip(0, 1)
        if t + 1 == warm_up:
            x = start
    return x


#: Number of gradients a step.
GRADIENTS = {
    "plain": lambda o: 1,
    "ni": lambda o: 1,
    "vmi": lambda o: 1 + o["samples"],
    "vni": lambda o: 1 + o["samples"],
    "emi": lambda o: o["samples"],
    "gra": lambda o: 1 + o["samples"],
    "pgn": lambda o: 2 * o["samples"],
    "longitudinal": lambda o: o["members_a_step"],
    "longitudinal_ni": lambda o: o["members_a_step"],
    "svre": lambda o: 1 + 2 * o["inner"],
    "cwa": lambda o: 2,
}


def _named(specs: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(spec, {}) if isinstance(spec, str) else next(iter(spec.items())) for spec in specs]


def _fraction(value: float | str) -> float:
    if isinstance(value, str):
        above, below = value.split("/")
        return int(above) / int(below)
    return value


def _flat_views(settings: dict[str, Any]) -> list[Any]:
    probability, mode = settings["diversity_probability"], settings["interpolation"]
    diverse = [{"diverse": {"probability": probability, "interpolation": mode}}] if probability else []
    return [*diverse, {"scale": {"copies": settings["scale_copies"]}}]


def _copies(name: str, options: dict[str, Any]) -> int:
    return len(options["ratios"]) if name == "dem" else options.get("copies", 1)


def _copies_of_steps(
    settings: dict[str, Any], key: str, counts: list[int], steps: int, warm_up: int
) -> list[list[tuple[int, ...]]]:
    """Return the copies that each step sees, in all of its gradients: one of each view's."""
    every_copy = list(itertools.product(*map(range, counts)))
    a_step = settings.get("copies_a_step") or len(every_copy)
    if settings.get("copy_order", "in_turn") == "in_turn":
        seen = []
        for part in (warm_up, steps):  # each deals the copies anew
            endless = itertools.cycle(every_copy if a_step == len(every_copy) else in_turn(counts, part * a_step))
            seen += [[next(endless) for _ in range(a_step)] for _ in range(part)]
        return seen
    numbers = keyed_uniform(settings["seed"], "scale copies", [key], warm_up + steps, len(every_copy))[0].tolist()
    return [[every_copy[i] for i in sorted(range(len(every_copy)), key=row.__getitem__)[:a_step]] for row in numbers]


def in_turn(counts: list[int], turns: int) -> list[tuple[int, ...]]:
    """Return the copies of a round: each view's is held for its share of the turns, and for one at least."""
    turns = min(turns, math.prod(counts))
    sequence: list[tuple[int, ...]] = [()] * turns
    hold = Fraction(turns)
    for count in counts:
        hold /= count
        sequence = [(*copies, int(turn / max(hold, 1)) % count) for turn, copies in enumerate(sequence)]
    return sequence


def _goal(surrogate: Surrogate, image: Array, label: int, key: str, settings: dict[str, Any]) -> tuple[int, int, int]:
    """Return the class, the class to lead away from, and the sign of the gradient."""
    with torch.no_grad():
        clean = surrogate.logits(torch.from_numpy(image), None).tolist()
    ranked = sorted(range(len(clean)), key=clean.__getitem__)
    match settings["target"]:
        case None:
            return (label if settings["label_source"] == "true" else ranked[-1]), label, 1
        case "given":
            return label, ranked[-1], -1
        case "least_likely":
            return next(k for k in ranked if k != label), label, -1
    others = [k for k in range(len(clean)) if k != label]
    number = keyed_uniform(settings["seed"], "random target", [key]).item()
    return others[int(number * len(others))], label, -1


def _mover(settings: dict[str, Any], steps: int, warm_up: int, image: Array) -> Any:
    """Return what maps a gradient and its step to what is accumulated and the way in steps alpha."""
    ((name, o),) = _named([settings.get("update", {"sign": {"decay": 1.0}})])
    if name == "sign":
        g, length = np.zeros_like(image), np.full_like(image, 1 / o.get("decay", 1))

        def along_sign(G: Array, t: int) -> tuple[Array, Array]:
            nonlocal g, length
            size = {"l1": np.abs(G).sum(), "mean_abs": np.abs(G).mean(), "none": 1}[settings["gradient_norm"]]
            last, g = g, settings["momentum"] * g + (G / size if size > 0 else G)
            length = np.where(np.sign(last) == np.sign(g), length, length * o.get("decay", 1))
            return g, length * np.sign(g)

        return along_sign
    assert name == "adam_tanh"
    m, v = [0.0] * image.size, [0.0] * image.size
    lengths = [(1 - o["beta_1"] ** (t + 1)) / math.sqrt(1 - o["beta_2"] ** (t + 1)) for t in range(warm_up + steps)]

    def along_tanh(G: Array, t: int) -> tuple[Array, Array]:
        ratio, way = [0.0] * image.size, [0.0] * image.size
        for i, value in enumerate(G.ravel().tolist()):
            m[i] += o["mu_1"] * value
            v[i] += o["mu_2"] * value * value
            ratio[i] = m[i] / (math.sqrt(v[i]) + 1e-20)
            way[i] = lengths[t] / sum(lengths[warm_up:]) * steps * math.tanh(o["scale"] * ratio[i])
        return np.reshape(ratio, image.shape), np.reshape(way, image.shape)

    return along_tanh
