#!/usr/bin/env bash
# tfrecord 1.14.6 (numpy 2.4.6, Python 3.11): damaged records are read as if they were whole.
#
# A TFRecord file has a CRC32C behind every length and every record, and this package's writer computes them. Its reader
# reads them and does not compare. A bit that flipped on a disk or in a download comes out as another pixel or another
# label, and nothing is said. (Fields that are bytes of an image hide it best; only a damaged length or field tag can end
# in an error.)
#
# Guess that fails: "a format with checksums tells me of a damaged record".
# Output seen:
#   as written: labels [7, 8, 9], images whole [True, True, True]
#   a bit of a label flipped: labels [6, 8, 9], images whole [True, True, True]
#   a bit of an image flipped: labels [7, 8, 9], images whole [True, False, True]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tfrecord==1.14.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - > seen <<'PYTHON'
from pathlib import Path

from tfrecord.reader import tfrecord_loader
from tfrecord.writer import TFRecordWriter

IMAGE = bytes(range(256))


def show(what: str, content: bytes) -> None:
    Path("data.tfrecord").write_bytes(content)
    rows = list(tfrecord_loader("data.tfrecord", None, {"image": "byte", "label": "int"}))
    labels, whole = [int(row["label"][0]) for row in rows], [bytes(row["image"]) == IMAGE for row in rows]
    print(f"{what}: labels {labels}, images whole {whole}")


writer = TFRecordWriter("written.tfrecord")
for label in (7, 8, 9):
    writer.write({"image": (IMAGE, "byte"), "label": (label, "int")})
writer.close()
content = Path("written.tfrecord").read_bytes()
record = len(content) // 3
image = content.index(IMAGE)
label = content.index(b"label")
(value,) = (at for at in range(label, label + 20) if content[at] == 7 and at < record - 4)

show("as written", content)
for what, at in (("a label", value), ("an image", record + image + 100)):
    damaged = bytearray(content)
    damaged[at] ^= 1
    show(f"a bit of {what} flipped", bytes(damaged))
PYTHON
cat seen
diff - seen <<'EXPECTED'
as written: labels [7, 8, 9], images whole [True, True, True]
a bit of a label flipped: labels [6, 8, 9], images whole [True, True, True]
a bit of an image flipped: labels [7, 8, 9], images whole [True, False, True]
EXPECTED
