#!/usr/bin/env bash
# Run the test suite with the oldest version of every direct dependency that requirements.txt admits.
#
#   bash scripts/oldest.sh [FOLDER] [PYTEST ARGUMENTS ...]
#
# makes a new environment in FOLDER (by default a temporary one), with exactly the lowest versions, and says at the end
# which these are. What only the tests need is as new as goes with them.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$(mktemp -d)}
shift || true
"${PYTHON:-python3}" -m venv "$folder"
sed -e 's/ *#.*//' -e 's/>=/==/' -e '/^$/d' requirements.txt > "$folder/oldest.txt"
pip() { "$folder/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
# Newer pyarrow, which datasets takes, asks for numpy 2.
pip install --requirement "$folder/oldest.txt" --requirement requirements-dev.txt 'pyarrow<26'
pip install --no-deps torchattacks==3.5.1
pip install --no-deps --no-build-isolation --editable .
PATH="$folder/bin:$PATH" "$folder/bin/python" -m pytest "$@"
echo "passed with Python $("$folder/bin/python" -c 'import platform; print(platform.python_version())') and:"
cat "$folder/oldest.txt"
