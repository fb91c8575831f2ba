#!/usr/bin/env bash
# litdata 0.2.76 (torch 2.14.1, torchvision 0.29.1, pillow 12.3.0, numpy 2.4.6, Python 3.11): an image with a palette comes
# back without it.
#
# A Pillow image is stored as its mode, its size and its pixels. For mode "P" (GIF, and every PNG of 256 colors or fewer that
# some tool has saved small) the pixels are positions in a palette, and the palette is not stored. The data set yields an
# image of mode "P" again, of the right size, whose positions now count as greys: convert("RGB") gives a noisy grey picture
# of nothing. No warning; every other common mode comes back exactly.
#
# Guess that fails: "a mode that is taken without an error is given back whole".
# Output seen:
#   RGB: mode RGB, colors equal True
#   L: mode L, colors equal True
#   CMYK: mode CMYK, colors equal True
#   P: mode P, colors equal False, grey True
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

ROWS, COLUMNS = np.mgrid[:60, :80]
PICTURE = Image.fromarray(np.stack([COLUMNS * 3, ROWS * 4, ROWS + COLUMNS], -1).astype("uint8"))


def of_mode(mode: str) -> Image.Image:
    return PICTURE.convert(mode, palette=Image.Palette.ADAPTIVE) if mode == "P" else PICTURE.convert(mode)


def sample(mode: str) -> dict:
    return {"image": of_mode(mode)}


if __name__ == "__main__":
    for mode in ("RGB", "L", "CMYK", "P"):
        optimize(sample, [mode], f"data-{mode}", num_workers=1, chunk_bytes="1MB", start_method="fork")
        (row,) = StreamingDataset(f"data-{mode}")
        seen, stored = (np.asarray(image.convert("RGB")) for image in (row["image"], of_mode(mode)))
        grey = f", grey {bool((seen == seen[..., :1]).all())}" if mode == "P" else ""
        print(f"SEEN {mode}: mode {row['image'].mode}, colors equal {np.array_equal(seen, stored)}{grey}")
PYTHON
"$folder/venv/bin/python" see.py > log 2>&1 || { cat log; exit 1; }
sed -n 's/.*SEEN //p' log | tee seen
diff - seen <<'EXPECTED'
RGB: mode RGB, colors equal True
L: mode L, colors equal True
CMYK: mode CMYK, colors equal True
P: mode P, colors equal False, grey True
EXPECTED
