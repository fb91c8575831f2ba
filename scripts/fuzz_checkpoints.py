"""Feed mutated TensorFlow checkpoints and .npy files to their readers: ``python scripts/fuzz_checkpoints.py``.

Each mutation must end in the file's variables or in a named fault: never in a crash, a hang, or memory beyond four
times the file; and where there are checksums, never in other variables.
"""

import argparse
import faulthandler
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tf_checkpoint.damaged import KINDS, damage, read

LONGEST = 10.0  # seconds that one mutation may take


def main() -> None:
    """Run the mutations and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    found = {kind: Counter({"read": 0, "refused": 0}) for kind in KINDS}
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.mutations):
            kind = list(KINDS)[number % len(KINDS)]
            path = damage(kind, Path(name), rng)
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            started = time.monotonic()
            try:
                whole = read(kind, path)
            except Exception as error:
                sys.exit(f"mutation {number} (seed {options.seed}, {kind}): {type(error).__name__}: {error}")
            slowest = max(slowest, time.monotonic() - started)
            faulthandler.cancel_dump_traceback_later()
            found[kind]["read" if whole else "refused"] += 1
    for kind, counts in found.items():
        print(f"{kind}: {counts['read']} read, {counts['refused']} refused")
    print(f"{options.mutations} mutations (seed {options.seed}); the slowest took {slowest:.2f} s")


if __name__ == "__main__":
    main()
