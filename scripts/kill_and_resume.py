"""Kill a generation run at random moments, resume it each time, and compare its shards with an undisturbed run's.

The run is SI-NI-TI-DIM on a tiny network that takes its time, over random images, four a shard. The work lasts for all
kills: one that finds nothing left to make ends this script with an error.
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

from lit_adv.shards.scratch import is_scratch
from lit_adv.shards.sidecar import finished
from lit_adv.shards.storage import list_names
from lit_adv.shards.verify import verify
from tests.tiny_shards import sample_files, tar_bytes

SHARDS_A_KILL = 3
SETTINGS = (
    f"--config={ROOT}/configs/generate/si_ni_ti_dim.yaml", "--trainer.logger=false", "--trainer.accelerator=cpu",
    "--model.surrogate=import:tests.models_of_tests:paced",
    "--data.num_classes=10", "--data.image_size=32", "--data.batch_size=2",
)  # fmt: skip
PACE = {"TEST_SECONDS_A_PASS": "0.01"}


def make_shards(folder: Path, count: int) -> None:
    """Write small shards of random images."""
    folder.mkdir()
    for number in range(count):
        (folder / f"tiny-{number:06d}.tar").write_bytes(tar_bytes(sample_files(4, first=4 * number)))


def start(shards: Path, output: Path) -> "subprocess.Popen[str]":
    """Start a generation run in a process group of its own; return when it begins to work."""
    command = [sys.executable, ROOT / "generate.py", *SETTINGS, f"--data.shards={shards}", f"--output.path={output}"]
    run = subprocess.Popen(
        command, env={**os.environ, **PACE}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
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


def kill(run: "subprocess.Popen[str]") -> None:
    """Kill a run that is at work."""
    os.killpg(run.pid, signal.SIGKILL)
    said = run.communicate()[1]
    if run.returncode != -signal.SIGKILL:
        sys.exit(f"the run ended before it was killed:\n{said}")


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
        total, done = SHARDS_A_KILL * options.kills, 0
        make_shards(shards, total)
        seconds = finish(start(shards, undisturbed))
        for number in range(1, options.kills + 1):
            run = start(shards, disturbed)
            moment = rng.uniform(0, seconds / options.kills)  # even the latest moments leave work for the last kill
            time.sleep(moment)
            kill(run)
            made, done = len(finished(str(disturbed))) - done, len(finished(str(disturbed)))
            if done == total:
                sys.exit(f"nothing was left to make at kill {number}")
            begun = sum(map(is_scratch, list_names(str(disturbed))))
            print(f"kill {number:2d} after {moment:5.2f} s: {made} shards made, {begun} begun, {total - done} missing",
                  flush=True)  # fmt: skip
        finish(start(shards, disturbed))
        report = verify(str(disturbed), str(shards))
        print(report)
        equal = digests(disturbed) == digests(undisturbed)
        print(f"after {options.kills} kills the shards are {'equal to' if equal else 'NOT'} an undisturbed run's")
        sys.exit(0 if equal and report.complete else 1)


if __name__ == "__main__":
    main()
