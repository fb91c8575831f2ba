"""Kill an evaluation at random moments, resume it each time, and compare its results with an undisturbed run's.

Three attacks on random images are shown to four targets, two of them defended, all tiny networks; one takes its time.
The work lasts for all kills: one that finds nothing left to count ends this script with an error.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.stopped_runs import running, wait_until
from tests.tiny_attacks import LINEAR, OTHER, make_attacked

ATTACKS = ("fgsm", "mi_fgsm", "ni_fgsm")
TARGETS = (
    "import:tests.models_of_tests:paced", OTHER, f"defense:rs({OTHER}, sigma=0.5, n=4, alpha=0.2)",
    f"defense:bit_depth({LINEAR}, bits=3)",
)  # fmt: skip
PACE = 0.05  # seconds a pass of the first target


def evaluation(attacks: dict[str, str], report: Path, processes: int) -> list[str]:
    """Return the command."""
    return [
        *("test", "--config=transfer", f"--data.attacks={json.dumps(attacks)}", f"--report.path={report}"),
        f"--model.targets={json.dumps(TARGETS)}",
        *("--data.batch_size=2", "--data.num_workers=0", "--trainer.logger=false", "--trainer.accelerator=cpu"),
        *("--trainer.precision=32-true", f"--trainer.devices={processes}"),
        f"--trainer.strategy={'ddp' if processes > 1 else 'auto'}",
    ]


def finish(command: list[str], log: Path, pace: float) -> float:
    """Run a command to its end; return how many seconds that took."""
    started = time.monotonic()
    with running(command, log, pace) as process:
        process.join()
        if process.exitcode:
            sys.exit(log.read_text())
    return time.monotonic() - started


def main() -> None:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="the most that a run may work before it is killed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "log"
        sizes = [4] * max(2 * options.kills, 8)
        attacks = {a: str(make_attacked(folder, a, f"--model.attack={a}", sizes=sizes)) for a in ATTACKS}
        finish(evaluation(attacks, folder / "undisturbed", 1), log, 0)
        files = len(sizes) * len(ATTACKS) * (1 + len(TARGETS))
        disturbed = folder / "disturbed"
        command = evaluation(attacks, disturbed, options.processes)
        for number in range(1, options.kills + 1):
            with running(command, log, PACE) as process:
                wait_until((disturbed / "config.yaml").exists, process, log)
                moment = rng.uniform(0, options.seconds)
                time.sleep(moment)
                if not process.is_alive():
                    sys.exit(f"nothing was left to count at kill {number}: {log.read_text()}")
                os.kill(process.pid or 0, signal.SIGKILL)
            (disturbed / "config.yaml").unlink()
            kept = sum(path.name != "index.json" for path in (disturbed / "counts").glob("*.json"))
            if list(disturbed.glob("results.*")):
                sys.exit("there are results of an evaluation that was killed")
            print(f"kill {number:2d} after {moment:5.2f} s: {kept} of {files} files are kept", flush=True)
        finish(command, log, 0)
        equal = all(
            (disturbed / file).read_bytes() == (folder / "undisturbed" / file).read_bytes()
            for file in ("results.json", "results.csv", "results.md")
        )
        print(f"after {options.kills} kills the results are {'equal to' if equal else 'NOT'} an undisturbed run's")
        shutil.rmtree(disturbed)
        sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
