#!/usr/bin/env bash
# foolbox 3.3.4 (torch 2.13.0, numpy 2.4.6, Python 3.11): where Carlini and Wagner's attack finds nothing, it returns a black
# image, and counts it as a success.
#
# L2CarliniWagnerAttack and EADAttack start their best image as all zeros and replace it when they find one. An image for
# which they find none comes back black (mid-grey with bounds (-1, 1)), and what is then asked is only whether the network
# gives the returned image another class, which it mostly does. So an attack that is stopped before it can find anything
# has a success rate of 80 %, at the distance of the image's own norm. With steps enough the rate is little higher, and the
# median distance is a fortieth or less. With an epsilon the images lie on the way to black, not on an attack's way.
#
# Guess that fails: "an attack that found nothing returns the clean image, or says so".
# Output seen:
#   C&W, 1 x 20 steps: fooled 84 %, black 82 %, median distance 7.94
#   C&W, 6 x 200 steps: fooled 100 %, black 0 %, median distance 0.11
#   EAD, 1 x 20 steps: fooled 80 %, black 100 %, median distance 8.00
#   EAD, 6 x 200 steps: fooled 100 %, black 0 %, median distance 0.20
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet foolbox==3.3.4 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from foolbox import PyTorchModel
from foolbox.attacks import EADAttack, L2CarliniWagnerAttack

torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval().requires_grad_(False)
IMAGES = torch.rand(200, 3, 8, 8)
LABELS = NETWORK(IMAGES).argmax(1)

for name, attack in {"C&W": L2CarliniWagnerAttack, "EAD": EADAttack}.items():
    for searches, steps in ((1, 20), (6, 200)):
        attacker = attack(binary_search_steps=searches, steps=steps)
        images, _, success = attacker(PyTorchModel(NETWORK, bounds=(0, 1)), IMAGES, LABELS, epsilons=None)
        black = (images == 0).flatten(1).all(1).float().mean()
        distance = (images - IMAGES).flatten(1).norm(dim=1).median()
        print(
            f"{name}, {searches} x {steps} steps: fooled {100 * success.float().mean():.0f} %, "
            f"black {100 * black:.0f} %, median distance {distance:.2f}"
        )
PYTHON
cat seen
diff - seen <<'EXPECTED'
C&W, 1 x 20 steps: fooled 84 %, black 82 %, median distance 7.94
C&W, 6 x 200 steps: fooled 100 %, black 0 %, median distance 0.11
EAD, 1 x 20 steps: fooled 80 %, black 100 %, median distance 8.00
EAD, 6 x 200 steps: fooled 100 %, black 0 %, median distance 0.20
EXPECTED
