#!/usr/bin/env bash
# timm 1.0.31 and torchvision 0.29.1 (torch 2.14.1, pillow 12.3.0, numpy 2.4.6, Python 3.11): one folder of classes, two
# numberings.
#
# Both read "a folder for each class" and number the classes by their sorted names. torchvision sorts text, so that "10"
# stands before "2"; timm sorts as people count, so that it stands behind "9". A model trained through one and tested
# through the other on ImageNet kept as 0/ ... 999/ (or class1/ ... class12/) is wrong about all but twelve classes, on
# images that it knows. WordNet's names (n01440764), all of one length, hide it.
#
# Guess that fails: "the image folder layout has one meaning".
# Output seen:
#   0 ... 999: 12 classes of 1000 have the same number
#   class1 ... class12: 1 classes of 12 have the same number
#   n0000000 ... n0000999: 1000 classes of 1000 have the same number
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet timm==1.0.31 torchvision==0.29.1 torch==2.14.1 pillow==12.3.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - > seen <<'PYTHON'
from pathlib import Path

from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder


def compare(names: list[str]) -> None:
    root = Path(f"data-{names[-1]}")
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / name / "a.png")
    torchvision_number = ImageFolder(root).class_to_idx
    timm_number = create_dataset("", root=str(root)).reader.class_to_idx
    equal = sum(torchvision_number[name] == timm_number[name] for name in names)
    print(f"{names[0]} ... {names[-1]}: {equal} classes of {len(names)} have the same number")


compare([str(number) for number in range(1000)])
compare([f"class{number}" for number in range(1, 13)])
compare([f"n{number:07}" for number in range(1000)])
PYTHON
cat seen
diff - seen <<'EXPECTED'
0 ... 999: 12 classes of 1000 have the same number
class1 ... class12: 1 classes of 12 have the same number
n0000000 ... n0000999: 1000 classes of 1000 have the same number
EXPECTED
