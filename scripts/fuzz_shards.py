"""Feed mutated shards and sidecars to the reader and to ``verify``: ``python scripts/fuzz_shards.py``.

Each mutation must end in a named fault or in nothing, never in a crash, a hang, or a file written, be it in the job's
folder or anywhere else.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lit_adv.data.decoder import Decoder
from lit_adv.data.reader import batch_shards
from lit_adv.shards.verify import verify
from tests.escapes import writes_outside
from tests.mutations import mutate
from tests.tiny_job import SIZE, generate
from tests.tiny_shards import sample_files, tar_bytes

SLOWEST_ALLOWED = 10.0  # seconds for one mutation
DECODER = Decoder(image_size=SIZE, resize=SIZE, num_classes=10)


def main() -> None:
    """Run the mutations and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "in/s0.tar").write_bytes(tar_bytes(sample_files(2)))
        generate(str(folder / "in"), str(folder / "out"))
        targets = [
            folder / "in/s0.tar",
            *(folder / "out" / f for f in ("s0.tar", "s0.json", "job.json", "_shards.json")),
        ]
        originals = {path: path.read_bytes() for path in targets}
        files = sorted(folder.rglob("*"))
        found = dict.fromkeys(("read", "refused by the reader", "whole", "faulty"), 0)
        slowest = 0.0
        for number in range(options.mutations):
            path = targets[number % len(targets)]
            path.write_bytes(mutate(originals[path], rng))
            started = time.monotonic()
            with writes_outside(folder) as escapes:
                if path == targets[0]:
                    *_, last = batch_shards([str(path)], DECODER, batch_size=2)
                    found["read" if last.error is None else "refused by the reader"] += 1
                report = verify(str(folder / "out"), str(folder / "in"), threads=1)
            found["whole" if report.complete else "faulty"] += 1
            slowest = max(slowest, time.monotonic() - started)
            path.write_bytes(originals[path])
            if escapes:
                sys.exit(f"mutation {number} of {path.name} wrote outside of {folder}: {', '.join(escapes)}")
            if sorted(folder.rglob("*")) != files:
                sys.exit(f"mutation {number} of {path.name} changed the folder's files")
        print(f"{options.mutations} mutations (seed {options.seed}): {found}; the slowest took {slowest:.2f} s")
        if slowest > SLOWEST_ALLOWED:
            sys.exit("too slow")


if __name__ == "__main__":
    main()
