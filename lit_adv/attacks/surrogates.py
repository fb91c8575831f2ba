"""What an attack asks of its surrogate; what would have no effect is refused."""

from typing import Any

from torch import nn

from lit_adv.attacks.directions import Direction
from lit_adv.attacks.losses import CrossEntropy
from lit_adv.attacks.settings import GradientSignSettings


def check_surrogate(model: nn.Module, settings: GradientSignSettings) -> None:
    """Refuse a surrogate that an attack of the gradient-sign family cannot use as it is.

    Args:
        model: The surrogate; one that has ``members`` is an ensemble, see :class:`lit_adv.models.Ensemble`.
        settings: Of the attack.

    Raises:
        ValueError: If it has the wrong shape, or the attack would leave out what it is to count.
    """
    if not isinstance(settings.loss_part, CrossEntropy):
        _check_loss(model, settings.loss)
    if settings.direction_part.asks_members:
        _check_direction(model, settings.direction_part, settings.direction)


def member_weights(model: nn.Module) -> list[float]:
    """Return the weight of each member of an ensemble, or one weight for any other model."""
    if not hasattr(model, "members"):
        return [1.0]
    members: Any = model.members
    weights: Any = getattr(model, "weights", None)
    return [1.0] * len(members) if weights is None else weights.tolist()


def _check_loss(model: nn.Module, name: Any) -> None:
    """Refuse a model whose loss is of more than the logits of its classes."""
    if (fusion := getattr(model, "fusion", "logits")) != "logits":
        raise ValueError(f"the loss {name!r} is of logits, but the ensemble fuses {fusion}")
    if any(getattr(m, "background", False) or getattr(m, "aux_weight", 0) for m in getattr(model, "members", [model])):
        raise ValueError(
            f"the loss {name!r} is of the classes' logits, but aux and background in a surrogate's name are of the "
            "cross-entropy alone: leave them out of the name, or take the loss cross_entropy"
        )


def _check_direction(model: nn.Module, direction: Direction, name: Any) -> None:
    """Refuse a model that is no ensemble, or one with settings that a direction does not use."""
    if not hasattr(model, "members"):
        raise ValueError(f"the direction {name!r} asks members of an ensemble: name several surrogates")
    weights = member_weights(model)
    if len(weights) < direction.least_members:
        raise ValueError(
            f"the direction {name!r} asks {direction.least_members} members a step, but the ensemble has {len(weights)}"
        )
    if not direction.uses_weights and max(weights) - min(weights) > 1e-6:
        raise ValueError(
            f"the direction {name!r} asks all members alike, whatever their weights: leave ensemble_weights out, or "
            "choose the direction svre, which draws members by their weights"
        )
    if not direction.uses_fusion and getattr(model, "fusion", "logits") != "logits":
        raise ValueError(f"the direction {name!r} asks one member at a time and fuses nothing: leave fusion out")
