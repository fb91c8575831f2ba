#!/usr/bin/env bash
# torchmetrics 1.9.0 (torch 2.13.0, numpy 2.4.6, Python 3.11): two metrics that agree on the first batch agree for ever.
#
# To save work MetricCollection compares its metrics' counts after the first batch, and where they are equal it updates
# one of the metrics from then on and hands its counts to the others. Their thresholds and ignore_index are not compared.
# So where the first batch is an easy one (a detector that is sure of every image, no image of the ignored class), recall
# at a threshold of 0.9 becomes that at 0.5, and the accuracy that is to leave a class out counts it: the same rows in
# another order give other numbers, without a word. An evaluation over images sorted by class is of just that kind.
# compute_groups=False gives the metrics' own values, which do not depend on the order.
#
# Guess that fails: "a collection of metrics gives what each of them gives alone".
# Output seen:
#   easy images first: recall from 50 %: 100 %, recall from 90 %: 100 %
#   easy images last: recall from 50 %: 100 %, recall from 90 %: 50 %
#   easy images first, compute_groups=False: recall from 50 %: 100 %, recall from 90 %: 50 %
#   class 0 last: accuracy: 50 %, without class 0: 50 %
#   class 0 first: accuracy: 50 %, without class 0: 100 %
#   class 0 last, compute_groups=False: accuracy: 50 %, without class 0: 100 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryRecall, MulticlassAccuracy

# A detector's scores for adversarial images (label 1) and clean ones, by batches: sure of them, or less so.
EASY = (torch.tensor([0.99, 0.01]).repeat(50), torch.tensor([1, 0]).repeat(50))
HARD = (torch.tensor([0.80, 0.01]).repeat(50), torch.tensor([1, 0]).repeat(50))
# A classifier that is right about class 1 and takes class 0 for class 2.
CLASS_1 = (torch.full((100,), 1), torch.full((100,), 1))
CLASS_0 = (torch.full((100,), 2), torch.full((100,), 0))


def show(what: str, metrics: dict, *batches: tuple[torch.Tensor, torch.Tensor], groups: bool = True) -> None:
    collection = MetricCollection(metrics, compute_groups=groups)
    for scores, labels in batches:
        collection.update(scores, labels)
    print(f"{what}: " + ", ".join(f"{name}: {100 * value:.0f} %" for name, value in collection.compute().items()))


def recalls() -> dict:
    return {"recall from 50 %": BinaryRecall(threshold=0.5), "recall from 90 %": BinaryRecall(threshold=0.9)}


def accuracies() -> dict:
    return {
        "accuracy": MulticlassAccuracy(3, average="micro"),
        "without class 0": MulticlassAccuracy(3, average="micro", ignore_index=0),
    }


show("easy images first", recalls(), EASY, HARD)
show("easy images last", recalls(), HARD, EASY)
show("easy images first, compute_groups=False", recalls(), EASY, HARD, groups=False)
show("class 0 last", accuracies(), CLASS_1, CLASS_0)
show("class 0 first", accuracies(), CLASS_0, CLASS_1)
show("class 0 last, compute_groups=False", accuracies(), CLASS_1, CLASS_0, groups=False)
PYTHON
cat seen
diff - seen <<'EXPECTED'
easy images first: recall from 50 %: 100 %, recall from 90 %: 100 %
easy images last: recall from 50 %: 100 %, recall from 90 %: 50 %
easy images first, compute_groups=False: recall from 50 %: 100 %, recall from 90 %: 50 %
class 0 last: accuracy: 50 %, without class 0: 50 %
class 0 first: accuracy: 50 %, without class 0: 100 %
class 0 last, compute_groups=False: accuracy: 50 %, without class 0: 100 %
EXPECTED
