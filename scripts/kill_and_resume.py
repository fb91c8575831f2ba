"""Kill a generation run at random moments, resume it each time, and compare its shards with an undisturbed run's.

The run is the demo's, in small shards: SI-NI-TI-DIM on EfficientNet-Lite0 over 20 real images, 1 a shard.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lit_adv.data.pack import pack_images
from lit_adv.data.sample import find_images
from lit_adv.data.sidecar import finished
from lit_adv.data.verify import verify

SETTINGS = (
    f"--config={ROOT}/configs/generate/si_ni_ti_dim.yaml", "--trainer.logger=false", "--data.batch_size=2",
)  # fmt: skip


def start(shards: Path, output: Path) -> "subprocess.Popen[str]":
    """Start a generation run in a process group of its own; return when it begins to work."""
    command = [sys.executable, ROOT / "generate.py", *SETTINGS, f"--data.shards={shards}", f"--output.path={output}"]
    run = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert run.stderr is not None  # noqa: S101
    any("shards are missing" in line for line in run.stderr)
    return run


def finish(run: "subprocess.Popen[str]") -> float:
    """Wait until a run has ended well; return how many seconds that took."""
    started = time.monotonic()
    said = run.communicate()[1]
    if run.returncode:
        sys.exit(said)
    return time.monotonic() - started


def digests(folder: Path) -> dict[str, str]:
    """Return each shard's SHA-256."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def main() -> None:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        shards, undisturbed, disturbed = (Path(name) / part for part in ("in", "undisturbed", "disturbed"))
        pack_images(find_images(), str(shards), 1, "sample")
        seconds = finish(start(shards, undisturbed))
        for kill in range(1, options.kills + 1):
            run = start(shards, disturbed)
            moment = rng.uniform(0, 4 * seconds / options.kills)  # some kills undo a shard, some do not
            time.sleep(moment)
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
            done = finished(str(disturbed))
            print(f"kill {kill:2d} after {moment:5.2f} s: {len(done)} shards done", flush=True)
        finish(start(shards, disturbed))
        report = verify(str(disturbed), str(shards))
        print(report)
        equal = digests(disturbed) == digests(undisturbed)
        print(f"after {options.kills} kills the shards are {'equal to' if equal else 'NOT'} an undisturbed run's")
        sys.exit(0 if equal and report.complete else 1)


if __name__ == "__main__":
    main()
