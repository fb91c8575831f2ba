"""How long a forward and backward pass takes in two checkouts of this project, in processes in turn.

    python -m benchmarks.pass_time OLD NEW --model random:resnet50 --threads 1

OLD and NEW are folders of checkouts, and each process times its passes in one of them. Prints the median over pairs of
NEW's time by OLD's: the processes' own time, which leaves out what else the machine does, and that on the clock.
"""

import argparse
import json
import statistics
import subprocess
import sys

#: Runs in a checkout; knows nothing of this one.
TIMING = """
import json, sys, time
import timm, torch
from lit_adv.models import Classifier, keep_freed_memory, load_model, optimize
spec, size, batch, threads, passes, precision = sys.argv[1:]
size, batch, passes = int(size), int(batch), int(passes)
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
gradient = run()
found = {"cpu": [], "wall": [], "gradient": float(gradient.double().norm())}
for _ in range(passes):
    clocks = {"cpu": time.process_time(), "wall": time.perf_counter()}
    run()
    found["cpu"].append(time.process_time() - clocks["cpu"])
    found["wall"].append(time.perf_counter() - clocks["wall"])
print(json.dumps(found))
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
    parser.add_argument("--passes", type=int, default=3, help="of each process, after one to warm up")
    parser.add_argument("--precision", choices=["bf16", "float32"], default="float32")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    settings = [arguments.model, arguments.size, arguments.batch, arguments.threads, arguments.passes]
    command = [sys.executable, "-c", TIMING, *map(str, settings), arguments.precision]
    pairs = []
    for _ in range(arguments.pairs):
        runs = [
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
            for folder in (arguments.old, arguments.new)
        ]
        pairs.append([json.loads(run.splitlines()[-1]) for run in runs])
    print(
        f"{arguments.model}, {arguments.size} px, batch {arguments.batch}, {arguments.precision}, "
        f"{arguments.threads} thread(s), {arguments.pairs} pairs"
    )
    for clock in ("cpu", "wall"):
        times = [[statistics.median(run[clock]) for run in pair] for pair in pairs]
        ratios = sorted(new / old for old, new in times)
        old, new = (1000 * statistics.median(column) / arguments.batch for column in zip(*times, strict=True))
        print(
            f"{clock:4} {old:.1f} and {new:.1f} ms an image, ratio {statistics.median(ratios):.3f} "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
    old_norm, new_norm = (pairs[0][which]["gradient"] for which in (0, 1))
    print(f"norm of the gradient {old_norm!r} and {new_norm!r}")


if __name__ == "__main__":
    main()
