"""Adversarial images from clean ones, as a LightningModule's predict step."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lit_adv.attacks import create_attack, describe_attack, grey_levels, quantize, without_garbage
from lit_adv.data.batch import AdversarialBatch, ImageBatch
from lit_adv.models import (
    Classifier,
    Ensemble,
    Fusion,
    auxiliary_sha256,
    count_classes,
    keep_freed_memory,
    load_model,
    optimize,
    to_float,
    weights_sha256,
)
from lit_adv.shards.remote import redact

_log = logging.getLogger(__name__)

_ONE_CLASS = (
    "%s has a batch of one class alone, so that admix mixes in images of the same class, where it is meant to mix in "
    "others: raise data.batch_size, or pack the images in another order; lit-adv pack keeps the order of a CSV file"
)


class GenerationTask(LightningModule):
    """Runs an attack on a surrogate for each batch of clean images.

    The Trainer needs ``inference_mode=False``, since an attack needs gradients.

    Args:
        surrogate: The attacked model, or several for an ensemble: ``timm:<name>``, ``timm:<name>@<checkpoint>``,
            ``slim:<network>@<checkpoint>``, ``wheel:<name>`` or ``import:<module>:<callable>``.
        attack: Name of the attack (fgsm, i_fgsm, pgd, mi_fgsm, ni_fgsm, dim, tim, ti_dim, si_fgsm, si_mi_fgsm,
            si_ni_fgsm, si_ni_dim, si_ni_tim, si_ni_ti_dim, si_ni_ti_dim_fast, si_ni_ti_dim_strong, si_ni_ti_dem,
            vmi_fgsm, vni_fgsm, emi_fgsm, gra, pgn, gi_fgsm, ai_fgtm, admix, ssm, sia, bsr, dem, logit_targeted, cw;
            docs/attacks.md has them all), or the class path of another library's attack.
        attack_options: Settings that differ from the named attack's, such as ``eps: 8/255``. The gradient-sign family
            has eps, steps, step_size, step_factor, momentum, nesterov, scale_copies, copies_a_step, copy_order,
            scale_space, diversity_probability, interpolation, views, direction, loss, backward, update, warm_up_steps,
            warm_up_factor, kernel_size, gradient_norm, random_start, label_source, target and seed, and
            docs/attacks.md says what views, direction, loss, backward and update can be; cw has steps, search_steps,
            learning_rate, initial_constant, confidence, label_source, target and seed.
        ensemble_weights: One positive weight for each member of an ensemble; equal by default.
        fusion: What an ensemble averages.
        compile: Whether to compile the surrogate; pays on a GPU.

    Attributes:
        fingerprint: All that decides what is made of an image, of JSON's types.

    Raises:
        ValueError: If a surrogate is named twice, or the attack or a surrogate is not known.
    """

    def __init__(
        self,
        surrogate: str | list[str] = "wheel:efficientnet_lite0",
        attack: str = "si_ni_ti_dim",
        attack_options: dict[str, Any] | None = None,
        ensemble_weights: list[float] | None = None,
        fusion: Fusion = "logits",
        compile: bool = False,
    ) -> None:
        super().__init__()
        options = attack_options or {}
        settings = describe_attack(attack, **options)
        specs = [surrogate] if isinstance(surrogate, str) else surrogate
        _refuse_twice(specs)
        members = {spec: load_model(spec, resize=len(specs) > 1) for spec in specs}
        self.fingerprint: dict[str, Any] = {
            "surrogate": {spec: weights_sha256(member) for spec, member in members.items()},
            "ensemble_weights": ensemble_weights,
            "fusion": fusion,
            "compile": compile,
            "attack": attack,
            "attack_options": settings,
            **_unsaid(members),
        }
        model = members[specs[0]] if len(specs) == 1 else Ensemble([*members.values()], ensemble_weights, fusion)
        self.surrogate = optimize(model, compile=compile)
        self._mixes = any("admix" in view for view in settings.get("views") or [])
        self._fill_to = 0  # a compiled surrogate would be compiled anew for the size of each shard's last batch
        self.attack = create_attack(attack, self.surrogate, **options)
        if self.attack.eps is not None:  # a budget that is another library's default counts as given
            settings.setdefault("eps", self.attack.eps)

    def check_data(self, image_size: int, num_classes: int) -> None:
        """Make sure that each surrogate knows the data's classes, no more and no fewer.

        Args:
            image_size: Side of the images, in pixels.
            num_classes: Labels lie in [0, num_classes).

        Raises:
            ValueError: If one tells another number of classes apart, or cannot take such images.
        """
        members = self.surrogate.members if isinstance(self.surrogate, Ensemble) else [self.surrogate]
        for spec, member in zip(self.fingerprint["surrogate"], members, strict=True):
            try:
                classes = count_classes(member, image_size)
            except ValueError as error:
                raise ValueError(f"surrogate {spec!r}: {error}") from error
            if classes != num_classes:
                raise ValueError(
                    f"surrogate {spec!r} tells {classes} classes apart, but labels lie in [0, {num_classes}): set "
                    f"data.num_classes to {classes} if they number its classes; if its first output is a background "
                    "class, name import:MODULE:CALLABLE, which returns "
                    "lit_adv.models.Classifier(network, class_offset=1); else choose another surrogate"
                )

    def on_predict_start(self) -> None:
        """Choose convolutions that repeat their results bit for bit on a GPU, and spare a CPU its page faults."""
        torch.backends.cudnn.deterministic = True
        keep_freed_memory()
        if self.fingerprint["compile"]:
            self._fill_to = self.trainer.datamodule.batch_size  # type: ignore[attr-defined]

    @property
    def budget(self) -> int | None:
        """How many grey levels a stored pixel may move; None for an attack without an L-infinity budget."""
        return None if self.attack.eps is None else grey_levels(self.attack.eps)

    def predict_step(self, batch: ImageBatch, batch_idx: int = 0) -> AdversarialBatch:
        """Attack one batch.

        Args:
            batch: Clean images of one shard.
            batch_idx: Not used; what is made depends on the batch alone.

        Returns:
            The adversarial images, rounded to 8 bits, and what the surrogate makes of them.

        Raises:
            ValueError: If the attack is to reach given targets and the data names none.
        """
        started = time.perf_counter()
        goal_from_data = self.fingerprint["attack_options"].get("target") == "given"
        if goal_from_data and batch.targets is None:
            raise ValueError("attack_options.target is 'given': name the json field of the targets, data.target_field")
        labels = batch.targets if goal_from_data and batch.targets is not None else batch.labels
        adversarial, goal, clean_predictions, predictions, garbage = self._attack(batch, labels)
        fooled = predictions == goal if self.attack.targeted else predictions != batch.labels
        return AdversarialBatch(
            source=batch.to("cpu"),
            images=adversarial.cpu(),
            predictions_clean=clean_predictions.cpu(),
            predictions=predictions.cpu(),
            fooled=fooled.cpu(),
            targets=goal.cpu() if self.attack.targeted else None,
            not_finite=[key for key, bad in zip(batch.keys, garbage.tolist(), strict=True) if bad],
            seconds=time.perf_counter() - started,
        )

    def _attack(self, batch: ImageBatch, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the adversarial images, the attack's goal, the predictions before and after, and what went wrong."""
        if not len(batch):
            return batch.images, labels, labels, labels, labels
        if self._mixes and 1 < len(batch) == int((batch.labels == batch.labels[0]).sum()):
            self._mixes = False  # said once
            rank_zero_only(_log.warning)(_ONE_CLASS, redact(batch.shard))
        count, images, keys, true_labels = len(batch), batch.images, batch.keys, batch.labels
        if (missing := self._fill_to - count) > 0:
            images, labels, true_labels = (
                torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) for x in (images, labels, true_labels)
            )
            keys = [*keys, *keys[-1:] * missing]
        clean = to_float(images)
        scores = self._scores(clean)
        if (highest := int(torch.cat([batch.labels, labels]).max())) >= scores.shape[1]:
            raise ValueError(
                f"{redact(batch.shard)} has label {highest}, but the surrogate tells {scores.shape[1]} classes apart: "
                f"set data.num_classes to {scores.shape[1]} to skip such samples, or choose another surrogate"
            )
        goal = self.attack.goal_labels(clean, labels, keys)
        made, garbage = without_garbage(self.attack(clean, labels, keys, true_labels), clean)
        adversarial = quantize(made, images, self.budget)
        predictions = self._scores(to_float(adversarial)).argmax(1)
        before = scores.argmax(1)
        return adversarial[:count], goal[:count], before[:count], predictions[:count], garbage[:count]

    @torch.no_grad()
    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.surrogate(images)
        return scores


def _refuse_twice(specs: Sequence[str]) -> None:
    """Refuse an ensemble with one member twice."""
    for spec, count in Counter(specs).items():
        if count > 1:
            raise ValueError(
                f"model.surrogate names {spec!r} {count} times: name it once, and give it {count} times the weight of "
                "the others with model.ensemble_weights"
            )


def _unsaid(members: Mapping[str, Classifier]) -> dict[str, Any]:
    """Return what decides the images beside the members' names and the weights of what classifies.

    Each is left out where there is none, so that folders of one surrogate whose name says all of it can be completed
    if they were begun before this was recorded.
    """
    unsaid: dict[str, Any] = {
        # A mapping's order is not recorded, but weights are given in it, and some attacks take members in turn.
        "members": list(members) if len(members) > 1 else [],
        "settings": {spec: member.settings for spec, member in members.items() if member.own_settings},
        "auxiliary": {spec: auxiliary_sha256(member) for spec, member in members.items() if member.aux_weight},
    }
    return {name: value for name, value in unsaid.items() if value}
