"""What a GPU makes of this project, in parts that each have a time limit; started by benchmarks/gpu.sh.

    python -m benchmarks.gpu OUT --parts peak,passes --limit 120

Each part runs in a process of its own. One that fails, hangs or runs out of time is noted and the next begins, and what
it measured until then counts. OUT/results.json and OUT/results.md are written anew after each part.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._gpu_record import Measurement, Record, to_markdown

ROOT = Path(__file__).parents[1]

#: What each part may take, in seconds, in the order of importance.
LIMITS = {
    "peak": 40,
    "passes": 100,
    "attack": 100,
    "end_to_end": 100,
    "equal_bytes": 60,
    "profile": 50,
    "two_processes": 90,
    "float32": 60,
    "torchattacks": 60,
    "autotuned": 50,
    "compiled": 200,
}
#: Seconds that a part needs to be begun.
SHORTEST = 10


def main() -> None:
    """Measure, or run the one part that a parent process asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--parts", default=",".join(LIMITS), help="comma-separated, in the order to run them")
    parser.add_argument("--limit", type=float, default=450, help="seconds for all parts together")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try it on a CPU")
    # What a part's own process is told.
    parser.add_argument("--only", choices=LIMITS, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.only:
        # Only here, so that the process that waits for the parts is small and leaves the GPU to them.
        from benchmarks import _gpu_jobs, _gpu_passes

        run = (_gpu_passes.PARTS | _gpu_jobs.PARTS)[arguments.only]
        run(Record(arguments.out, arguments.only, arguments.scratch), quick=arguments.quick)
        return
    parts = arguments.parts.split(",")
    if unknown := [part for part in parts if part not in LIMITS]:
        parser.error(f"unknown parts {unknown}; there are {', '.join(LIMITS)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        measure(arguments.out, parts, arguments.limit, quick=arguments.quick, scratch=Path(scratch))


def measure(out: Path, parts: list[str], limit: float, *, quick: bool, scratch: Path) -> None:
    """Run the parts one after the other, and write the results."""
    deadline = time.monotonic() + limit
    report: dict[str, Any] = {"machine": describe_machine(), "quick": quick, "parts": {}}
    record = Record(out, "", scratch)
    record.clear()
    for part in parts:
        started = time.monotonic()
        allowed = min(LIMITS[part], deadline - started)
        note = _run_part(part, out, scratch, allowed, quick) if allowed >= SHORTEST else "skipped: no time is left"
        report["parts"][part] = {"seconds": round(time.monotonic() - started, 1), "note": note}
        report["measured"] = record.read()
        (out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
        (out / "results.md").write_text(to_markdown(report))
        print(f"== {part}: {note or 'done'} ({report['parts'][part]['seconds']} s)", flush=True)
    print((out / "results.md").read_text())


def _run_part(part: str, out: Path, scratch: Path, seconds: float, quick: bool) -> str:
    """Run a part in its own process; return what went wrong, if anything."""
    command = [sys.executable, "-m", "benchmarks.gpu", str(out), "--only", part, "--scratch", str(scratch)]
    command += ["--quick"] if quick else []
    # A session of its own, so that what it started ends with it.
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"stopped after {seconds:.3g} s"
    sys.stderr.write(errors)
    if process.returncode:
        return "failed: " + (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1][:300]
    return ""


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def describe_machine() -> Measurement:
    """Say what is measured on."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
    }


if __name__ == "__main__":
    main()
