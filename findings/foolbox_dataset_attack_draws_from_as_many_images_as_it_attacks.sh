#!/usr/bin/env bash
# foolbox 3.3.4 (torch 2.13.0, numpy 2.4.6, Python 3.11): DatasetAttack draws from as many images as it attacks at a time.
#
# It is fed a data set and is to return, for each image, some image of that set that the network gives another class. But it
# draws the positions from range(number of images attacked), without the image's own position: of 1,000 images that were
# fed, only the first 4 are ever looked at for a batch of 4, and none for a batch of one. What it cannot find it returns
# clean. So the success rate of an attack that hits nearly always is a function of the batch size, and with one image at a
# time every network withstands it. What was fed beyond the batch size has no effect, and nothing is said of it.
#
# Guess that fails: "an attack that was fed 1,000 images draws from 1,000 images".
# Output seen:
#   1 at a time: fooled 0 %
#   2 at a time: fooled 85 %
#   4 at a time: fooled 100 %
#   200 at a time: fooled 100 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet foolbox==3.3.4 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import numpy as np
import torch
from foolbox import PyTorchModel
from foolbox.attacks import DatasetAttack
from foolbox.distances import l2

torch.manual_seed(0)
np.random.seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval().requires_grad_(False)
MODEL = PyTorchModel(NETWORK, bounds=(0, 1))
IMAGES, OTHERS = torch.rand(200, 3, 8, 8), torch.rand(1000, 3, 8, 8)
LABELS = NETWORK(IMAGES).argmax(1)

for size in (1, 2, 4, 200):
    attack = DatasetAttack(distance=l2)
    attack.feed(MODEL, OTHERS)
    fooled = [
        attack(MODEL, images, labels, epsilons=None)[2]
        for images, labels in zip(IMAGES.split(size), LABELS.split(size), strict=True)
    ]
    print(f"{size} at a time: fooled {100 * torch.cat(fooled).float().mean():.0f} %")
PYTHON
cat seen
diff - seen <<'EXPECTED'
1 at a time: fooled 0 %
2 at a time: fooled 85 %
4 at a time: fooled 100 %
200 at a time: fooled 100 %
EXPECTED
