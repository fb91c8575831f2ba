#!/usr/bin/env bash
# torchattacks 3.5.1 (torch 2.13.0, scipy 1.17.1, numpy 2.4.6, Python 3.11): MultiAttack gives back the clean image wherever
# a targeted attack hits.
#
# MultiAttack runs one attack after another and keeps an image as soon as the network's class is not the label that was
# handed in. With attacks in set_mode_targeted_by_label, where the wanted class is handed in, that is the wrong way round:
# an image that reaches its target counts as failed, goes on to the next attack, and comes back clean in the end; only
# images that miss their target are kept. One PGD hits every target; two of the same in MultiAttack hit none. No error and
# no warning: the attacks' mode is not looked at (MultiAttack itself refuses a targeted mode).
#
# Guess that fails: "several attacks together are at least as strong as each alone".
# Output seen:
#   PGD: targets hit 200 of 200, images returned clean 0
#   MultiAttack of two such PGDs: targets hit 0 of 200, images returned clean 200
#   the same without targets: classes changed 200 of 200, images returned clean 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 scipy==1.17.1 numpy==2.4.6 tqdm==4.70.1 requests==2.34.2
"$folder/venv/bin/pip" install --quiet --no-deps torchattacks==3.5.1  # its own pin of requests is not needed
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
import torchattacks

torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval()
IMAGES = torch.rand(200, 3, 8, 8)
LABELS = NETWORK(IMAGES).argmax(1)
TARGETS = (LABELS + 1) % 10


def pgd(targeted: bool) -> torchattacks.PGD:
    attack = torchattacks.PGD(NETWORK, eps=64 / 255, alpha=8 / 255, steps=20)
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    return attack


def show(name: str, attack: torchattacks.attack.Attack, labels: torch.Tensor, targeted: bool) -> None:
    images = attack(IMAGES, labels)
    equal = NETWORK(images).argmax(1) == labels
    what, count = ("targets hit", equal.sum()) if targeted else ("classes changed", (~equal).sum())
    clean = (images == IMAGES).flatten(1).all(1).sum()
    print(f"{name}: {what} {count} of {len(IMAGES)}, images returned clean {clean}")


show("PGD", pgd(True), TARGETS, True)
show("MultiAttack of two such PGDs", torchattacks.MultiAttack([pgd(True), pgd(True)]), TARGETS, True)
show("the same without targets", torchattacks.MultiAttack([pgd(False), pgd(False)]), LABELS, False)
PYTHON
cat seen
diff - seen <<'EXPECTED'
PGD: targets hit 200 of 200, images returned clean 0
MultiAttack of two such PGDs: targets hit 0 of 200, images returned clean 200
the same without targets: classes changed 200 of 200, images returned clean 0
EXPECTED
