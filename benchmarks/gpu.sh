#!/usr/bin/env bash
# Measure on the GPU of this machine what docs/speed.md quotes.
#
#   bash benchmarks/gpu.sh OUT [--limit SECONDS] [--parts peak,passes,...] [--quick]
#   WHEELS=FOLDER bash benchmarks/gpu.sh OUT
#
# writes OUT/results.json and OUT/results.md, anew after each part. It takes less than eight minutes and no network: what
# Python packages the machine lacks come as wheels in the folder WHEELS, and leave the machine with the temporary folder
# that they are installed into. PYTHON names another interpreter than python3.
set -euo pipefail
if [ $# -eq 0 ]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
wheels=${WHEELS:+$(cd "$WHEELS" && pwd)}
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ -n "$wheels" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
"$python" -m benchmarks.gpu "$out" "$@"
