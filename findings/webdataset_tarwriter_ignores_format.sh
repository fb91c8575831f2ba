#!/usr/bin/env bash
# webdataset 1.0.2 (numpy 2.4.6, Python 3.11): the `format` argument of TarWriter has no effect.
#
# Its documentation offers `format` as the tar format, and without it names USTAR. The value is looked up and then not
# handed to tarfile, so every archive is written in Python's own default, pax. Whoever asks for GNU headers (a reader that
# knows no pax records) or for plain ustar (to be told of a key that does not fit) gets pax records without a word: a key
# of 300 characters, which ustar cannot hold, is written under all three settings, and the three archives are equal byte
# for byte. Python's tarfile itself refuses it for ustar and writes a GNU long-name record (type L) for GNU.
#
# Guess that fails: "format='USTAR_FORMAT' makes a ustar archive, or an error where that is impossible".
# Output seen:
#   tarfile: USTAR_FORMAT ValueError, GNU_FORMAT type L, PAX_FORMAT type x
#   TarWriter: USTAR_FORMAT type x, GNU_FORMAT type x, PAX_FORMAT type x
#   TarWriter's three archives are equal: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet webdataset==1.0.2 numpy==2.4.6
"$folder/venv/bin/python" - > "$folder/seen" <<'PYTHON'
import io
import tarfile

import webdataset as wds

FORMATS = ("USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT")
KEY = "k" * 300


def first_type(archive: bytes) -> str:
    return "type " + archive[156:157].decode()


def by_tarfile(name: str) -> str:
    file = io.BytesIO()
    member = tarfile.TarInfo(KEY + ".txt")
    try:
        with tarfile.open(fileobj=file, mode="w", format=getattr(tarfile, name)) as archive:
            archive.addfile(member)
    except ValueError as error:
        return type(error).__name__
    return first_type(file.getvalue())


def by_webdataset(name: str) -> bytes:
    file = io.BytesIO()
    with wds.TarWriter(file, mtime=0, format=name) as writer:
        writer.write({"__key__": KEY, "txt": b"x"})
    return file.getvalue()


archives = {name: by_webdataset(name) for name in FORMATS}
print("tarfile:", ", ".join(f"{name} {by_tarfile(name)}" for name in FORMATS))
print("TarWriter:", ", ".join(f"{name} {first_type(archive)}" for name, archive in archives.items()))
print("TarWriter's three archives are equal:", len(set(archives.values())) == 1)
PYTHON
cat "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
tarfile: USTAR_FORMAT ValueError, GNU_FORMAT type L, PAX_FORMAT type x
TarWriter: USTAR_FORMAT type x, GNU_FORMAT type x, PAX_FORMAT type x
TarWriter's three archives are equal: True
EXPECTED
