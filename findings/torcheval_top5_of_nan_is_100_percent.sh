#!/usr/bin/env bash
# torcheval 0.0.7 (torch 2.13.0, numpy 2.4.6, Python 3.11): a network that outputs NaN has a top-5 accuracy of 100 %.
#
# For k > 1 multiclass_accuracy (and MulticlassAccuracy) counts the classes whose score is greater than the label's; fewer
# than k, and the sample is right. Nothing is greater than NaN, and nothing in a row of equal scores is greater than the
# label's. So a network that overflowed in half precision, and one that died and gives all classes the same score, are
# right about every image, while top-1, which takes the argmax, has them at chance. Scores that are equal in part (rounded,
# quantized, clipped) are counted in the label's favor as well: ten classes that share the first place are all "in the top
# five". An attack's success rate in top-5 is 0 on the broken network.
#
# Guess that fails: "top-5 accuracy takes five classes a row, and NaN is never right".
# Output seen:
#   random scores: top-1 0.05 %, top-5 0.65 %
#   all NaN: top-1 0.10 %, top-5 100.00 %
#   all equal: top-1 0.10 %, top-5 100.00 %
#   ten classes share the first place: top-1 0.10 %, top-5 1.00 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torcheval==0.0.7 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from torcheval.metrics import MulticlassAccuracy

LABELS = torch.arange(1000).repeat(2)
RANDOM = torch.rand(2000, 1000, generator=torch.Generator().manual_seed(0))
ROWS = {
    "random scores": RANDOM,
    "all NaN": torch.full_like(RANDOM, float("nan")),
    "all equal": torch.zeros_like(RANDOM),
    "ten classes share the first place": (torch.arange(1000) < 10).float().expand(2000, 1000),
}

for name, scores in ROWS.items():
    top = {k: MulticlassAccuracy(k=k).update(scores, LABELS).compute().item() for k in (1, 5)}
    print(f"{name}: " + ", ".join(f"top-{k} {100 * value:.2f} %" for k, value in top.items()))
PYTHON
cat seen
diff - seen <<'EXPECTED'
random scores: top-1 0.05 %, top-5 0.65 %
all NaN: top-1 0.10 %, top-5 100.00 %
all equal: top-1 0.10 %, top-5 100.00 %
ten classes share the first place: top-1 0.10 %, top-5 1.00 %
EXPECTED
