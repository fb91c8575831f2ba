"""From what a user writes to the models that adversarial images are shown to, defended or not."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lit_adv.declared_types import check_type
from lit_adv.defenses import Defense, Member, ScoreSum, create_defense
from lit_adv.defenses.nips_r3 import View
from lit_adv.models import Classifier, auxiliary_sha256, load_model, weights_sha256

#: A target as a string or as a mapping, see :func:`load_targets`.
TargetSpec = str | dict[str, Any]

#: What a configuration says of a member of ``nips_r3``; without a model it is the classifier that is being defended.
_MEMBER_TYPES = {"view": View, "weight": float, "model": str | None}

_DEFENDED = re.compile(r"(?:defense:)?(\w+)\((.+)\)")


@dataclass(frozen=True)
class Target:
    """A model that is to be fooled.

    Attributes:
        name: What it is called in results.
        module: A classifier or a defense.
        weights: Digests of the weights of all classifiers in it.
        record: All that decides its answers, of JSON's types: what the user wrote but for the name, a digest of all
            weights, what each classifier expects of images, and if a defense has any, the versions of libraries and
            digests of the auxiliary heads that it scores with.
    """

    name: str
    module: nn.Module
    weights: frozenset[str]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classifiers(self) -> list[Classifier]:
        """The classifiers in it; more than one in an ensemble."""
        return [module for module in self.module.modules() if isinstance(module, Classifier)]

    def predict(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Classify images.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            keys: The B samples' keys.

        Returns:
            Classes, int64 [B]; ``ABSTAIN`` where a defense declines to decide.
        """
        if isinstance(self.module, Defense):
            return self.module.predict(images, keys)
        logits: Tensor = self.module(images)
        return logits.argmax(1)


def load_targets(specs: Sequence[TargetSpec]) -> list[Target]:
    """Load targets; a model that several of them use is loaded once.

    Args:
        specs: Each one of

            - a model: any spec of :func:`lit_adv.models.load_model`;
            - a defended model: ``defense:NAME(MODEL, option=value, ...)``, the prefix ``defense:`` being optional;
            - the same as a mapping: ``{defense: NAME, model: MODEL, option: value, ...}``. In a mapping, ``name``
              chooses what the target is called, ``members`` (of ``nips_r3``) lists ``{view, weight, model}``, where
              ``model`` may be left out for the one that is being defended, and ``{sum: [TARGET, ...]}`` adds the scores
              of several defended models.

    Returns:
        The targets in the order given.

    Raises:
        ValueError: If a spec is malformed, an option is unknown, or two targets have the same name.
        FileNotFoundError: If weights are missing; the message says where to get them.
        ConnectionError: If hub weights cannot be fetched.
    """
    if not specs:
        raise ValueError("model.targets names no model")
    model, digest = cache(load_model), cache(weights_sha256)
    targets: list[Target] = []
    for spec in specs:
        settings = parse_target(spec) if isinstance(spec, str) else spec
        name = str(settings.get("name", spec if isinstance(spec, str) else _describe(settings)))
        if name in (target.name for target in targets):
            raise ValueError(f"two targets are called {name!r}; give one another name: {{name: ..., model: ...}}")
        settings = {key: value for key, value in settings.items() if key != "name"}
        module = _build(settings, model)
        classifiers = [part for part in module.modules() if isinstance(part, Classifier)]
        targets.append(Target(name, module, frozenset(map(digest, classifiers)), _record(settings, module, digest)))
    return targets


def parse_target(text: str) -> dict[str, Any]:
    """Take a target's string apart.

    Args:
        text: See :func:`load_targets`.

    Returns:
        The equivalent mapping.

    Raises:
        ValueError: If an option is not of the form ``name=value`` or is given twice.

    Example:
        >>> parse_target("defense:jpeg(wheel:efficientnet_lite1, quality=75)")
        {'defense': 'jpeg', 'model': 'wheel:efficientnet_lite1', 'quality': 75}
    """
    match = _DEFENDED.fullmatch(text.strip())
    if match is None:
        return {"model": text}
    model, *options = re.split(r",\s*(?=\w+\s*=)", match[2])
    settings: dict[str, Any] = {"defense": match[1], "model": model.strip()}
    for option in options:
        name, _, value = option.partition("=")
        if (name := name.strip()) in settings:
            raise ValueError(f"target {text!r} gives {name!r} twice")
        settings[name] = _value(value.strip())
    return settings


@torch.no_grad()
def check_target(target: Target, image_size: int, num_classes: int) -> None:
    """Make sure that a target can be shown images of a size and knows their classes.

    Args:
        target: The target, on the CPU.
        image_size: Side of the images, in pixels.
        num_classes: Labels lie in [0, num_classes).

    Raises:
        ValueError: If it fails on such images or tells another number of classes apart.
    """
    for classifier in target.classifiers:
        try:
            classes = classifier(torch.zeros(1, 3, image_size, image_size)).shape[1]
        except RuntimeError as error:
            raise ValueError(
                f"target {target.name!r} cannot take images of {image_size} x {image_size} pixels ({error}); let it "
                "resize them to its own size: append ?size=N to the model"
            ) from error
        if classes != num_classes:
            raise ValueError(
                f"target {target.name!r} tells {classes} classes apart, but the labels of the shards lie in "
                f"[0, {num_classes}); choose a model of the same classes, or generate the shards with "
                f"--data.num_classes {classes} if that is what their labels are"
            )


def _value(text: str) -> Any:
    """Return a number, a list or a truth value for its JSON text, and any other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _describe(settings: Mapping[str, Any]) -> str:
    """Return a mapping as the string that would mean the same."""
    if "sum" in settings:
        return " + ".join(part if isinstance(part, str) else _describe(part) for part in settings["sum"])
    options = [f"{key}={value}" for key, value in settings.items() if key not in ("defense", "model", "members")]
    inside = ", ".join([str(settings.get("model")), *options])
    return f"defense:{settings['defense']}({inside})" if "defense" in settings else inside


def _record(settings: Mapping[str, Any], module: nn.Module, digest: Callable[[nn.Module], str]) -> dict[str, Any]:
    """Return :attr:`Target.record`; ``digest`` is that of a module's weights."""
    classifiers = [part for part in module.modules() if isinstance(part, Classifier)]
    written = dict(settings)
    if "sum" in written:
        written["sum"] = [parse_target(part) if isinstance(part, str) else part for part in written["sum"]]
    record: dict[str, Any] = {
        "settings": written,
        "weights_sha256": digest(module),
        "classifiers": [classifier.settings for classifier in classifiers],
    }
    defenses = [part for part in module.modules() if isinstance(part, Defense)]
    heads = [auxiliary_sha256(part) for part in defenses if part.scores_auxiliary_heads]
    if any(heads):
        record["auxiliary_sha256"] = heads
    libraries = [part.libraries() for part in defenses]
    if any(libraries):
        record["libraries"] = {name: version for versions in libraries for name, version in versions.items()}
    plain: dict[str, Any] = json.loads(json.dumps(record, default=str))
    return plain


def _build(settings: Mapping[str, Any], model: Any) -> nn.Module:
    """Build the classifier or the defense that settings (without a name) describe; ``model`` loads a classifier."""
    options = dict(settings)
    if "sum" in options:
        parts = [_build(parse_target(part) if isinstance(part, str) else part, model) for part in options.pop("sum")]
        if options or not all(isinstance(part, Defense) for part in parts):
            raise ValueError(f"target {dict(settings)} must be a sum of defended models and nothing else")
        return ScoreSum([part for part in parts if isinstance(part, Defense)])
    if not isinstance(spec := options.pop("model", None), str):
        raise ValueError(f"target {dict(settings)} names no model; for instance {{model: timm:inception_v3.tf_in1k}}")
    classifier: Classifier = model(spec)
    if "defense" not in options:
        if options:
            raise ValueError(f"target {dict(settings)} has options, {', '.join(options)}, but names no defense")
        return classifier
    try:
        if "members" in options:
            options["members"] = _members(options["members"], model)
        return create_defense(options.pop("defense"), classifier, **options)
    except ValueError as error:
        raise ValueError(f"target {_describe(settings)!r}: {error}") from error


def _members(listed: Any, model: Any) -> list[Member]:
    """Build the members of ``nips_r3`` from what a configuration lists; ``model`` loads a classifier."""
    check_type("members", listed, Sequence[dict[str, Any]])
    members = []
    for number, settings in enumerate(listed):
        where = f"members[{number}]"
        if unknown := settings.keys() - _MEMBER_TYPES.keys():
            raise ValueError(
                f"{where} has {', '.join(sorted(map(str, unknown)))}, but its keys are view, weight, model"
            )
        for key, kind in _MEMBER_TYPES.items():
            if key not in settings and key != "model":
                raise ValueError(f"{where} has no {key}; for instance {{view: ens, weight: 0.7, model: MODEL}}")
            check_type(f"{key} of {where}", settings.get(key), kind)
        spec = settings.get("model")
        members.append(Member(settings["view"], settings["weight"], None if spec is None else model(spec)))
    return members
