#!/usr/bin/env bash
# litdata 0.2.76 (torch 2.14.1, torchvision 0.29.1, pillow 12.3.0, numpy 2.4.6, Python 3.11): an image that was opened from a JPEG file and
# then changed in place is stored as the file it came from.
#
# Pillow's thumbnail(), paste() and ImageDraw change an image in place, and it stays a JpegImageFile that remembers its
# file. litdata takes such an image for the file: it copies the file's bytes and never looks at the pixels. A data set that
# is shrunk with thumbnail() before it is optimized holds the full-sized originals; a mask that was painted over is gone.
# No warning. resize() and crop() return plain images, which are stored as they are; so is a PNG that was changed in place.
#
# Guess that fails: "what optimize() is handed is what the data set yields".
# Output seen:
#   JPEG, thumbnail in place: handed (100, 75), yielded (400, 300)
#   JPEG, blackened in place: handed mean 0, yielded mean 126
#   JPEG, resize: handed (100, 75), yielded (100, 75)
#   PNG, thumbnail in place: handed (100, 75), yielded (100, 75)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet litdata==0.2.76 torch==2.14.1 torchvision==0.29.1 pillow==12.3.0 numpy==2.4.6
cd "$folder"
cat > see.py <<'PYTHON'
import os

os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"
import numpy as np
from litdata import StreamingDataset, optimize
from PIL import Image

ROWS, COLUMNS = np.mgrid[:300, :400]
PICTURE = np.stack([COLUMNS * 255 // 399, ROWS * 255 // 299, (ROWS + COLUMNS) % 256], -1).astype("uint8")


def prepared(case: str) -> Image.Image:
    image = Image.open("picture." + case.split(",")[0].lower())
    if "thumbnail" in case:
        image.thumbnail((100, 100))
    elif "blackened" in case:
        image.paste((0, 0, 0), (0, 0, *image.size))
    else:
        image = image.resize((100, 75))
    return image


def sample(case: str) -> dict:
    return {"case": case, "image": prepared(case)}


def size_and_mean(image) -> tuple[tuple[int, int], int]:
    pixels = np.asarray(image)
    if pixels.shape[0] == 3:  # a JPEG comes back as a tensor [3, H, W]
        pixels = pixels.transpose(1, 2, 0)
    return (pixels.shape[1], pixels.shape[0]), int(pixels.mean())


if __name__ == "__main__":
    Image.fromarray(PICTURE).save("picture.jpeg", quality=95)
    Image.fromarray(PICTURE).save("picture.png")
    cases = ["JPEG, thumbnail in place", "JPEG, blackened in place", "JPEG, resize", "PNG, thumbnail in place"]
    for number, case in enumerate(cases):  # one data set for each: the columns of one must all be of one kind
        optimize(sample, [case], f"data{number}", num_workers=1, chunk_bytes="1MB", start_method="fork")
        (row,) = StreamingDataset(f"data{number}")
        handed, yielded = size_and_mean(prepared(case)), size_and_mean(row["image"])
        what = int("blackened" in case)
        text = "mean " if what else ""
        print(f"SEEN {case}: handed {text}{handed[what]}, yielded {text}{yielded[what]}")
PYTHON
"$folder/venv/bin/python" see.py > log 2>&1 || { cat log; exit 1; }
sed -n 's/.*SEEN //p' log | tee seen
diff - seen <<'EXPECTED'
JPEG, thumbnail in place: handed (100, 75), yielded (400, 300)
JPEG, blackened in place: handed mean 0, yielded mean 126
JPEG, resize: handed (100, 75), yielded (100, 75)
PNG, thumbnail in place: handed (100, 75), yielded (100, 75)
EXPECTED
