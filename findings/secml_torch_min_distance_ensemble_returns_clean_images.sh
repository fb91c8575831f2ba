#!/usr/bin/env bash
# secml-torch 1.5 (torch 2.13.0, numpy 2.4.6, Python 3.11): the best of several minimum-distance attacks is no attack at all.
#
# MinDistanceEnsemble is to take, for each image, the nearest of the adversarial images that several attacks have found. It
# starts from the clean images, whose distance is 0, and takes an adversarial image where its distance is less than that:
# never. (The distance that it compares with is that of the whole batch, besides.) So two attacks that fool the network on
# every image make up an ensemble that fools it on none, and the data set that it returns is the clean one, bit for bit.
# No warning; FixedEpsilonEnsemble, which compares losses, works.
#
# Guess that fails: "an ensemble of attacks is at least as strong as the strongest".
# Output seen:
#   DDN: accuracy 0.00, median distance 0.16
#   FMN: accuracy 0.00, median distance 0.12
#   MinDistanceEnsemble: accuracy 1.00, median distance 0.00
#   FixedEpsilonEnsemble: accuracy 0.00, median distance 0.16
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --no-deps secml-torch==1.5  # what it needs of torchvision is not needed here
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from secmlt.adv.evasion.aggregators.ensemble import FixedEpsilonEnsemble, MinDistanceEnsemble
from secmlt.adv.evasion.ddn import DDN
from secmlt.adv.evasion.fmn import FMN
from secmlt.adv.evasion.perturbation_models import LpPerturbationModels
from secmlt.metrics.classification import Accuracy
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval().requires_grad_(False)
IMAGES = torch.rand(64, 3, 8, 8)
CLEAN = DataLoader(TensorDataset(IMAGES, NETWORK(IMAGES).argmax(1)), batch_size=32)
L2 = LpPerturbationModels.L2

ATTACKED = {
    "DDN": DDN(num_steps=100, eps_init=0.3, backend="native")(NETWORK, CLEAN),
    "FMN": FMN(perturbation_model=L2, num_steps=100, step_size=1.0, backend="native")(NETWORK, CLEAN),
}
BOTH = list(ATTACKED.values())
ATTACKED["MinDistanceEnsemble"] = MinDistanceEnsemble(L2)(NETWORK, CLEAN, BOTH)
ATTACKED["FixedEpsilonEnsemble"] = FixedEpsilonEnsemble(torch.nn.CrossEntropyLoss(reduction="none"))(NETWORK, CLEAN, BOTH)

for name, loader in ATTACKED.items():
    distances = (torch.cat([images for images, _ in loader]) - IMAGES).flatten(1).norm(dim=1)
    print(f"{name}: accuracy {Accuracy()(NETWORK, loader):.2f}, median distance {distances.median():.2f}")
PYTHON
cat seen
diff - seen <<'EXPECTED'
DDN: accuracy 0.00, median distance 0.16
FMN: accuracy 0.00, median distance 0.12
MinDistanceEnsemble: accuracy 1.00, median distance 0.00
FixedEpsilonEnsemble: accuracy 0.00, median distance 0.16
EXPECTED
