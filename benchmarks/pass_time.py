"""How long a forward and backward pass takes in two checkouts of this project, one pass of each in turn.

    python -m benchmarks.pass_time OLD NEW --model random:resnet50 --threads 1

OLD and NEW are folders of checkouts, and each has a process of its own that waits while the other works. Prints the
median over pairs of NEW's time by OLD's: the process's own time, which leaves out what else the machine does, and that
on the clock.
"""

import argparse
import json
import statistics
import subprocess
import sys

#: Runs in a checkout, and knows nothing of this one. It answers each line with the seconds of a pass.
TIMING = """
import json, sys, time
import timm, torch
from lit_adv.models import Classifier, keep_freed_memory, load_model, optimize
spec, size, batch, threads, precision = sys.argv[1:]
size, batch = int(size), int(batch)
torch.set_num_threads(int(threads))
torch.manual_seed(0)
keep_freed_memory()
source, _, name = spec.partition(":")
model = optimize(Classifier(timm.create_model(name)) if source == "random" else load_model(spec))
images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
labels = torch.arange(batch)
def run():
    leaf = images.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = torch.nn.functional.cross_entropy(model(leaf).float(), labels, reduction="sum")
    return torch.autograd.grad(loss, leaf)[0]
print(float(run().double().norm()), flush=True)
for _ in sys.stdin:
    clocks = time.process_time(), time.perf_counter()
    run()
    print(json.dumps([time.process_time() - clocks[0], time.perf_counter() - clocks[1]]), flush=True)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--model", default="wheel:efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["bf16", "float32"], default="float32")
    parser.add_argument("--pairs", type=int, default=15, help="of passes, after two to warm up")
    arguments = parser.parse_args()
    settings = [arguments.model, arguments.size, arguments.batch, arguments.threads, arguments.precision]
    command = [sys.executable, "-c", TIMING, *map(str, settings)]
    processes = [
        subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for folder in (arguments.old, arguments.new)
    ]
    norms = [float(_read(process)) for process in processes]
    pairs = [[_time(process) for process in processes] for _ in range(arguments.pairs + 1)][1:]
    for process in processes:
        process.communicate()
    print(
        f"{arguments.model}, {arguments.size} px, batch {arguments.batch}, {arguments.precision}, "
        f"{arguments.threads} thread(s), {arguments.pairs} pairs"
    )
    for number, clock in enumerate(("cpu", "wall")):
        times = [[pass_[number] for pass_ in pair] for pair in pairs]
        ratios = sorted(new / old for old, new in times)
        old, new = (1000 * statistics.median(column) / arguments.batch for column in zip(*times, strict=True))
        print(
            f"{clock:4} {old:.1f} and {new:.1f} ms an image, ratio {statistics.median(ratios):.3f} "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
    print(f"norm of the gradient {norms[0]!r} and {norms[1]!r}")


def _time(process: subprocess.Popen[str]) -> list[float]:
    """Have a process make one pass, and return its own seconds and those on the clock."""
    process.stdin.write("\n")
    process.stdin.flush()
    seconds: list[float] = json.loads(_read(process))
    return seconds


def _read(process: subprocess.Popen[str]) -> str:
    if not (line := process.stdout.readline()):
        raise SystemExit(f"a process ended with status {process.wait()}; its message is above")
    return line


if __name__ == "__main__":
    main()
