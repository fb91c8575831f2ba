#!/usr/bin/env bash
# cleverhans 4.0.0 (torch 2.13.0, numpy 2.4.6, Python 3.11): whether Carlini and Wagner's attack fools an image is
# decided by the other images of its batch.
#
# carlini_wagner_l2 of cleverhans.torch searches the constant between distance and success for each image. The constants lie
# in a column [B, 1], the losses in a row [B]: their product is [B, B], and every image is attacked with the mean of the
# batch's constants. Easy images keep theirs small, so a hard one beside 31 easy ones never gets enough weight, and comes
# back clean; alone it is fooled. With one image, or equal ones, there is nothing to see. So robust accuracy under this
# attack depends on the batch size and on the order of the images.
#
# Guess that fails: "the batch size only changes the time that an attack takes".
# Output seen:
#   alone: fooled True, L2 distance 0.60
#   in a batch with 31 copies of itself: fooled True, L2 distance 0.60
#   in a batch with 31 easier images: fooled False, L2 distance 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --no-deps cleverhans==4.0.0  # what it needs for TensorFlow and JAX is not needed
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from cleverhans.torch.attacks.carlini_wagner_l2 import carlini_wagner_l2

torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval().requires_grad_(False)
NETWORK[1].weight *= 0.2
NETWORK[1].bias *= 0.2
IMAGES = torch.rand(64, 3, 8, 8)
BEST = NETWORK(IMAGES).topk(2).values
BY_MARGIN = IMAGES[(BEST[:, 0] - BEST[:, 1]).argsort()]
HARD, EASY = BY_MARGIN[-1:], BY_MARGIN[:31]

for name, batch in {
    "alone": HARD,
    "in a batch with 31 copies of itself": HARD.repeat(32, 1, 1, 1),
    "in a batch with 31 easier images": torch.cat([HARD, EASY]),
}.items():
    image = carlini_wagner_l2(NETWORK, batch, 10, lr=0.02, max_iterations=50)[:1]
    fooled = (NETWORK(image).argmax() != NETWORK(HARD).argmax()).item()
    print(f"{name}: fooled {fooled}, L2 distance {(image - HARD).norm():.2f}")
PYTHON
cat seen
diff - seen <<'EXPECTED'
alone: fooled True, L2 distance 0.60
in a batch with 31 copies of itself: fooled True, L2 distance 0.60
in a batch with 31 easier images: fooled False, L2 distance 0.00
EXPECTED
