#!/usr/bin/env bash
# adversarial-robustness-toolbox 1.20.1 (pillow 12.3.0, numpy 2.2.6, Python 3.11): the JPEG defense darkens what it sees.
#
# JpegCompression turns float images in [0, 1] into 8 bits by cutting off x * 255 instead of rounding it. An attack's
# output lies between grey levels, so every value loses half a level on average before it is compressed: the image comes
# back darker by half a level, and the defense is another function than "save as JPEG", by up to 13 levels a pixel.
# Clean images, which lie on the levels, come through as Pillow makes them: the defense's clean accuracy shows nothing,
# and an attack's success under it is partly that of the cut.
#
# Guess that fails: "the JPEG defense is Pillow's JPEG of the rounded image, for adversarial images, too".
# Output seen:
#   clean: mean change -0.04 grey levels, largest difference to Pillow's JPEG 0
#   adversarial: mean change -0.48 grey levels, largest difference to Pillow's JPEG of the rounded image 13, of the cut one 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet adversarial-robustness-toolbox==1.20.1 pillow==12.3.0 numpy==2.2.6 packaging==24.2
cd "$folder"
"$folder/venv/bin/python" - > seen <<'PYTHON'
from io import BytesIO

import numpy as np
from art.defences.preprocessor import JpegCompression
from PIL import Image

ROWS, COLUMNS = np.mgrid[:224, :224]
CLEAN = np.stack([COLUMNS, ROWS, (ROWS + COLUMNS) // 2], -1).astype(np.float64)
NOISE = np.random.RandomState(0).uniform(-16, 16, CLEAN.shape)
ADVERSARIAL = np.clip(CLEAN + NOISE, 0, 255)


def by_art(image: np.ndarray) -> np.ndarray:
    defense = JpegCompression(clip_values=(0, 1), quality=75, channels_first=False)
    return defense((image / 255).astype(np.float32)[None])[0][0] * 255


def by_pillow(image: np.ndarray) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file)).astype(np.float64)


def far(a: np.ndarray, b: np.ndarray) -> str:
    return f"{np.abs(a - b).max():.0f}"


clean, adversarial = by_art(CLEAN), by_art(ADVERSARIAL)
print(
    f"clean: mean change {(clean - CLEAN).mean():.2f} grey levels, "
    f"largest difference to Pillow's JPEG {far(clean, by_pillow(CLEAN))}"
)
print(
    f"adversarial: mean change {(adversarial - ADVERSARIAL).mean():.2f} grey levels, "
    f"largest difference to Pillow's JPEG of the rounded image {far(adversarial, by_pillow(ADVERSARIAL.round()))}, "
    f"of the cut one {far(adversarial, by_pillow(np.floor(ADVERSARIAL)))}"
)
PYTHON
cat seen
diff - seen <<'EXPECTED'
clean: mean change -0.04 grey levels, largest difference to Pillow's JPEG 0
adversarial: mean change -0.48 grey levels, largest difference to Pillow's JPEG of the rounded image 13, of the cut one 0
EXPECTED
