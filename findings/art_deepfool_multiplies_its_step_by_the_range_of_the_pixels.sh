#!/usr/bin/env bash
# adversarial-robustness-toolbox 1.20.1 (torch 2.13.0, numpy 2.4.6, scipy 1.17.1, Python 3.11): DeepFool's distances depend
# on the unit of the pixels.
#
# DeepFool computes the step to the nearest boundary in the pixels' own unit. ART then multiplies it by clip_values[1] -
# clip_values[0]. For pixels in [0, 1] that is 1. In [-1, 1] each step goes twice as far as needed, in [0, 255] it goes 255
# times as far and is cut off at the range. Every image is fooled all the more surely, so nothing looks wrong, but the
# "smallest" perturbation, as a share of the range, is twice or 60 times the true one: the same network, fed in another
# unit, looks that much more robust. Without clip_values the step is right in every unit.
#
# Guess that fails: "DeepFool finds the boundary of a linear network in one step, in whatever unit".
# Output seen:
#   pixels in [0, 1], clip_values given: fooled 100 %, median of distance / true distance 1.0
#   pixels in [0, 1], clip_values None: fooled 100 %, median of distance / true distance 1.0
#   pixels in [-1, 1], clip_values given: fooled 100 %, median of distance / true distance 2.0
#   pixels in [-1, 1], clip_values None: fooled 100 %, median of distance / true distance 1.0
#   pixels in [0, 255], clip_values given: fooled 100 %, median of distance / true distance 62.4
#   pixels in [0, 255], clip_values None: fooled 100 %, median of distance / true distance 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet adversarial-robustness-toolbox==1.20.1 torch==2.13.0 numpy==2.4.6 scipy==1.17.1 packaging==26.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import numpy as np
import torch
from art.attacks.evasion import DeepFool
from art.estimators.classification import PyTorchClassifier

torch.manual_seed(0)
LINEAR = torch.nn.Linear(3 * 8 * 8, 10)
IMAGES = torch.rand(64, 3, 8, 8)
SCORES, WEIGHTS = LINEAR(IMAGES.flatten(1)).detach(), LINEAR.weight.detach()
LABELS = SCORES.argmax(1)
MARGINS = (SCORES.amax(1, keepdim=True) - SCORES) / (WEIGHTS[LABELS][:, None] - WEIGHTS).norm(dim=2)
TRUE = MARGINS.nan_to_num(torch.inf).amin(1).numpy()  # to the nearest boundary; 0 / 0 stands at the image's own class


class Network(torch.nn.Module):
    """The same linear network of pixels in another range."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high, self.linear = low, high, LINEAR

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(((images - self.low) / (self.high - self.low)).flatten(1))


def show(low: float, high: float, clip: bool) -> None:
    model = PyTorchClassifier(
        Network(low, high),
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=(3, 8, 8),
        nb_classes=10,
        clip_values=(low, high) if clip else None,
    )
    images = (IMAGES * (high - low) + low).numpy()
    found = DeepFool(model, epsilon=0.02, batch_size=64, verbose=False).generate(images)
    fooled = (model.predict(found).argmax(1) != LABELS.numpy()).mean()
    distances = np.linalg.norm((found - images).reshape(len(images), -1), axis=1) / (high - low)
    print(
        f"pixels in [{low}, {high}], clip_values {'given' if clip else 'None'}: fooled {100 * fooled:.0f} %, "
        f"median of distance / true distance {np.median(distances / TRUE):.1f}"
    )


for low, high in ((0, 1), (-1, 1), (0, 255)):
    show(low, high, True)
    show(low, high, False)
PYTHON
cat seen
diff - seen <<'EXPECTED'
pixels in [0, 1], clip_values given: fooled 100 %, median of distance / true distance 1.0
pixels in [0, 1], clip_values None: fooled 100 %, median of distance / true distance 1.0
pixels in [-1, 1], clip_values given: fooled 100 %, median of distance / true distance 2.0
pixels in [-1, 1], clip_values None: fooled 100 %, median of distance / true distance 1.0
pixels in [0, 255], clip_values given: fooled 100 %, median of distance / true distance 62.4
pixels in [0, 255], clip_values None: fooled 100 %, median of distance / true distance 1.0
EXPECTED
