#!/usr/bin/env bash
# secml-torch 1.5 (torch 2.13.0, numpy 2.4.6, Python 3.11): one Accuracy that is asked about two data sets answers
# with their average.
#
# Accuracy()(network, loader) "computes the metric on a dataloader". Its counts are set to 0 where it is made, and never
# again: what a second call returns is the accuracy over the first and the second data set together, a third's over all
# three. Whoever makes one metric and asks it for the clean and then for the adversarial accuracy (or for one attack after
# another, or once an epoch) gets 50 % for a network that an attack fools on every image, and 67 % for the clean images,
# all of which are right, when they are asked for again. AttackSuccessRate counts in the same way.
#
# Guess that fails: "a metric that is called with a whole data set speaks of that data set".
# Output seen:
#   one Accuracy: clean 1.00, adversarial 0.50, clean again 0.67
#   one Accuracy for each: clean 1.00, adversarial 0.00, clean again 1.00
#   one AttackSuccessRate: clean 0.00, adversarial 0.50, clean again 0.33
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --no-deps secml-torch==1.5  # what it needs of torchvision is not needed here
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from secmlt.adv.evasion.pgd import PGD
from secmlt.metrics.classification import Accuracy, AttackSuccessRate
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval().requires_grad_(False)
IMAGES = torch.rand(200, 3, 8, 8)
CLEAN = DataLoader(TensorDataset(IMAGES, NETWORK(IMAGES).argmax(1)), batch_size=50)
ATTACK = PGD(
    perturbation_model="linf", epsilon=64 / 255, num_steps=20, step_size=8 / 255, random_start=False, backend="native"
)
LOADERS = {"clean": CLEAN, "adversarial": ATTACK(NETWORK, CLEAN), "clean again": CLEAN}


def show(what: str, metrics: list) -> None:
    asked = zip(LOADERS.items(), metrics, strict=True)
    print(f"{what}: " + ", ".join(f"{name} {metric(NETWORK, loader):.2f}" for (name, loader), metric in asked))


show("one Accuracy", [Accuracy()] * 3)
show("one Accuracy for each", [Accuracy(), Accuracy(), Accuracy()])
show("one AttackSuccessRate", [AttackSuccessRate()] * 3)
PYTHON
cat seen
diff - seen <<'EXPECTED'
one Accuracy: clean 1.00, adversarial 0.50, clean again 0.67
one Accuracy for each: clean 1.00, adversarial 0.00, clean again 1.00
one AttackSuccessRate: clean 0.00, adversarial 0.50, clean again 0.33
EXPECTED
