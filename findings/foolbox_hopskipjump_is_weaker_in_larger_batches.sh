#!/usr/bin/env bash
# foolbox 3.3.4 (torch 2.13.0, numpy 2.4.6, Python 3.11): HopSkipJump finds twice the distance in a batch of 64.
#
# The estimated gradient of each image is to be scaled to length one. foolbox divides by the norm of the whole batch's
# gradients, so that each image gets a direction of length 1 / sqrt(batch size), and its step shrinks with it, whatever
# the other images are. Every image still comes back fooled. So the distance that this decision-based attack reaches in
# the same number of steps is a matter of how many images share a batch: 1.1 times the true one (of a linear network) for
# one image, 1.5 times for 16, 2.4 times for 64. A network looks twice as robust on a machine that holds larger batches.
#
# Guess that fails: "the batch size only changes the time that an attack takes".
# Output seen:
#   batches of 1: fooled 100 %, median of distance / true distance 1
#   batches of 64: fooled 100 %, median of distance / true distance 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet foolbox==3.3.4 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from foolbox import PyTorchModel
from foolbox.attacks import HopSkipJumpAttack

torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval().requires_grad_(False)
MODEL = PyTorchModel(NETWORK, bounds=(0, 1))
IMAGES = torch.rand(64, 3, 8, 8)
SCORES, WEIGHTS = NETWORK(IMAGES), NETWORK[1].weight
LABELS = SCORES.argmax(1)
MARGINS = (SCORES.amax(1, keepdim=True) - SCORES) / (WEIGHTS[LABELS][:, None] - WEIGHTS).norm(dim=2)
TRUE = MARGINS.nan_to_num(torch.inf).amin(1)  # to the nearest boundary; 0 / 0 stands at the image's own class

for size in (1, 64):
    torch.manual_seed(1)
    results = [
        HopSkipJumpAttack(steps=15)(MODEL, images, labels, epsilons=None)
        for images, labels in zip(IMAGES.split(size), LABELS.split(size), strict=True)
    ]
    distances = (torch.cat([images for images, _, _ in results]) - IMAGES).flatten(1).norm(dim=1)
    fooled = torch.cat([success for _, _, success in results]).float().mean()
    print(
        f"batches of {size}: fooled {100 * fooled:.0f} %, "
        f"median of distance / true distance {(distances / TRUE).median():.0f}"
    )
PYTHON
cat seen
diff - seen <<'EXPECTED'
batches of 1: fooled 100 %, median of distance / true distance 1
batches of 64: fooled 100 %, median of distance / true distance 2
EXPECTED
