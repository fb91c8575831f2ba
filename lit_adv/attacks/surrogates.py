"""What an attack asks of its surrogate; what would have no effect is refused."""

from typing import Any

from torch import nn

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
    fusion = getattr(model, "fusion", "logits")
    if not isinstance(settings.loss_part, CrossEntropy) and fusion != "logits":
        raise ValueError(f"the loss {settings.loss!r} is of logits, but the ensemble fuses {fusion}")
    members = getattr(model, "members", [model])
    if not isinstance(settings.loss_part, CrossEntropy) and any(map(_has_own_loss, members)):
        raise ValueError(
            f"the loss {settings.loss!r} is of the classes' logits, but aux and background in a surrogate's name are "
            "of the cross-entropy alone: leave them out of the name, or take the loss cross_entropy"
        )
    direction, name = settings.direction_part, settings.direction
    if not direction.asks_members:
        return
    if not hasattr(model, "members"):
        raise ValueError(f"the direction {name!r} asks members of an ensemble: name several surrogates")
    if len(members) < direction.least_members:
        raise ValueError(
            f"the direction {name!r} asks {direction.least_members} members a step, but the ensemble has {len(members)}"
        )
    weights = member_weights(model)
    if not direction.uses_weights and max(weights) - min(weights) > 1e-6:
        raise ValueError(
            f"the direction {name!r} asks all members alike, whatever their weights: leave ensemble_weights out, or "
            "choose the direction svre, which draws members by their weights"
        )
    if not direction.uses_fusion and fusion != "logits":
        raise ValueError(f"the direction {name!r} asks one member at a time and fuses nothing: leave fusion out")


def member_weights(model: nn.Module) -> list[float]:
    """Return the weight of each member of an ensemble, or one weight for any other model."""
    if not hasattr(model, "members"):
        return [1.0]
    members: Any = model.members
    weights: Any = getattr(model, "weights", None)
    return [1.0] * len(members) if weights is None else weights.tolist()


def _has_own_loss(model: Any) -> bool:
    """Say whether a model's own loss is of more than its logits, see :class:`lit_adv.models.Classifier`."""
    return bool(getattr(model, "background", False) or getattr(model, "aux_weight", 0))
