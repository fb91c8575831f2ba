"""How the attacks of torchattacks, foolbox and libraries like them are built, called and bounded."""

import importlib
import re
from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_adv.attacks.budget import parse_eps, parse_fractions, parse_number

Runner = Callable[[Tensor, Tensor], Tensor]


class Built(NamedTuple):
    """An attack of another library.

    Attributes:
        run: From float32 images [B, 3, H, W] in [0, 1] and int64 labels [B] to adversarial images.
        norm: What the attack measures a change by: ``Linf``, ``L2``, ``L1`` or ``L0``; None if that is not known.
        eps: The budget in that norm; None for an attack without one.
    """

    run: Runner
    norm: str | None
    eps: float | None


#: Attacks that cannot be run on one batch and one model alone, and why; by library and class.
_REFUSED = {
    "torchattacks.MultiAttack": "it takes a list of attacks in place of a model; name one of them, or AutoAttack",
    "torchattacks.LGV": "it trains copies of the model on a data loader of its own",
    "foolbox.GenAttack": "it is targeted alone, and attacks of other libraries are run untargeted",
    "foolbox.DatasetAttack": "it draws from a data set that must be fed to it first",
}
#: JSMA compares all pairs of a pixel's channels: (3 * 64 * 64) ** 2 numbers are 1.2 GB, at 224 pixels 181 GB.
_LARGEST_SIDE = {"torchattacks.JSMA": 64}


def build(path: str, model: nn.Module, options: dict[str, Any], device: torch.device) -> Built:
    """Build an attack.

    Args:
        path: Its class, such as ``torchattacks.PGD`` or ``foolbox.attacks.LinfPGD``.
        model: The surrogate.
        options: Arguments of the class; for foolbox also ``eps``. Texts that are fractions count as numbers.
        device: Where the images will be.

    Raises:
        ValueError: If there is no such class, it does not take the options, or it cannot be run here.
    """
    module_name, _, class_name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import the attack {path!r}: {error}; is its package installed?") from error
    library = module_name.split(".")[0]
    name = f"{library}.{getattr(kind, '__name__', class_name)}"  # foolbox has short names for many a class
    if name in _REFUSED:
        raise ValueError(f"attack {path!r} cannot be run here: {_REFUSED[name]}")
    options = parse_fractions(options)
    try:
        parts = _foolbox(kind, model, device, **options) if library == "foolbox" else _callable(kind, model, **options)
        run, norm, eps = parts
    except ModuleNotFoundError as error:
        raise ValueError(f"attack {path!r} needs a package that is not installed: pip install {error.name}") from error
    except TypeError as error:
        raise ValueError(f"attack {path!r}: {error}") from error
    if hasattr(run, "set_device"):  # torchattacks takes the device that the model is on now
        run.set_device(device)
    if norm == "Linf" and eps is not None:
        eps = parse_eps(eps)
    return Built(_bounded(run, name) if name in _LARGEST_SIDE else run, norm, eps)


def _callable(kind: Any, model: nn.Module, **options: Any) -> Built:
    """Build an attack that is called with images and labels."""
    if "eps" in options:
        options["eps"] = parse_number("eps", options["eps"])
    seed = signature(kind).parameters.get("seed")
    if seed is not None and seed.default is None:  # it would be the time of day
        options.setdefault("seed", 0)
    attack = kind(model, **options)
    eps = getattr(attack, "eps", getattr(attack, "max_epsilon", options.get("eps")))
    norm = re.search(r"L[012](?![0-9])", kind.__name__)
    named = getattr(attack, "norm", None if norm is None else norm[0])
    if named is None and eps is not None:  # the field's usual budget, where nothing else is said
        named = "Linf"
    return Built(attack, None if named is None else str(named), eps)


def _foolbox(kind: Any, model: nn.Module, device: torch.device, *, eps: Any = None, **options: Any) -> Built:
    from foolbox import PyTorchModel
    from foolbox.attacks.base import FixedEpsilonAttack, MinimizationAttack

    attack, wrapped = kind(**options), PyTorchModel(model, bounds=(0, 1), device=device)
    try:
        distance: Any = getattr(attack, "distance", None)
    except ValueError:  # a minimization of any distance, of which none is given
        distance = None
    norm = {"0": "L0", "1": "L1", "2": "L2", "inf": "Linf"}.get(str(getattr(distance, "p", None)))
    eps = None if eps is None else parse_number("eps", eps)
    if isinstance(attack, FixedEpsilonAttack):
        if eps is None:
            raise TypeError(f"it has no budget of its own; give eps, in {norm or 'its own'} distance")
        call = {"epsilon": eps}
    elif isinstance(attack, MinimizationAttack):
        if eps is not None and distance is None:
            raise TypeError("it knows no distance that eps could be measured by; leave eps out")
        call = {"early_stop": eps}
    else:
        call = {}

    def run(images: Tensor, labels: Tensor) -> Tensor:
        adversarial: Tensor = attack.run(wrapped, images, labels, **call)
        if eps is not None and norm in ("L1", "L2", "Linf"):  # foolbox leaves the last clipping to its callers
            adversarial = distance.clip_perturbation(images, adversarial, eps)
        return adversarial

    return Built(run, norm, eps)


def _bounded(run: Runner, name: str) -> Runner:
    largest = _LARGEST_SIDE[name]

    def run_if_small(images: Tensor, labels: Tensor) -> Tensor:
        if max(images.shape[2:]) > largest:
            raise ValueError(
                f"its memory grows with the square of an image's pixels, so images may have {largest} pixels a side at "
                f"most, not {max(images.shape[2:])}"
            )
        return run(images, labels)

    return run_if_small
