#!/usr/bin/env bash
# captum 0.9.0 (torch 2.13.0, numpy 2.4.6, Python 3.11): FGSM and PGD make images easier for networks that end in log-softmax.
#
# Without loss_func both attacks differentiate -log(output of the label). For an output below 0 that logarithm is NaN, but
# its derivative is not: -1 / output, of the wrong sign. So a network whose outputs are log-probabilities (always below 0),
# or plain logits that happen to lie low, is walked down its loss instead of up, by the whole budget: each image moves, none
# changes its class, and the network looks perfectly robust, with more confidence than before. Adding a constant to all
# logits, which changes no probability, decides it. targeted=True is turned round in the same way: it flees its target.
# Probabilities (softmax) work, and so does loss_func=CrossEntropyLoss(reduction="none") for every one of the four.
#
# Guess that fails: "an attack that moves every image by its budget raises the loss", or "the log of a negative number
# would show as NaN".
# Output seen:
#   softmax: FGSM 19 right, confidence down; PGD 19 right, confidence down; moved 200 of 200
#   log-softmax: FGSM 200 right, confidence up; PGD 200 right, confidence up; moved 200 of 200
#   logits + 10: FGSM 26 right, confidence down; PGD 26 right, confidence down; moved 200 of 200
#   logits - 10: FGSM 200 right, confidence up; PGD 200 right, confidence up; moved 200 of 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet captum==0.9.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from captum.robust import FGSM, PGD

torch.manual_seed(0)
LOGITS = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).requires_grad_(False)
IMAGES = torch.rand(200, 3, 8, 8)
LABELS = LOGITS(IMAGES).argmax(1)
NETWORKS = {
    "softmax": lambda images: LOGITS(images).softmax(1),
    "log-softmax": lambda images: LOGITS(images).log_softmax(1),
    "logits + 10": lambda images: LOGITS(images) + 10,
    "logits - 10": lambda images: LOGITS(images) - 10,
}


def confidence(images: torch.Tensor) -> float:
    return LOGITS(images).softmax(1)[range(len(images)), LABELS].mean().item()


for name, network in NETWORKS.items():
    texts = []
    for attack, arguments in ((FGSM, (8 / 255,)), (PGD, (8 / 255, 2 / 255, 10))):
        images = attack(network, lower_bound=0, upper_bound=1).perturb(IMAGES, *arguments, LABELS)
        right = (LOGITS(images).argmax(1) == LABELS).sum()
        way = "up" if confidence(images) > confidence(IMAGES) else "down"
        texts.append(f"{attack.__name__} {right} right, confidence {way}")
    moved = (images != IMAGES).flatten(1).any(1).sum()
    print(f"{name}: {'; '.join(texts)}; moved {moved} of {len(IMAGES)}")
PYTHON
cat seen
diff - seen <<'EXPECTED'
softmax: FGSM 19 right, confidence down; PGD 19 right, confidence down; moved 200 of 200
log-softmax: FGSM 200 right, confidence up; PGD 200 right, confidence up; moved 200 of 200
logits + 10: FGSM 26 right, confidence down; PGD 26 right, confidence down; moved 200 of 200
logits - 10: FGSM 200 right, confidence up; PGD 200 right, confidence up; moved 200 of 200
EXPECTED
