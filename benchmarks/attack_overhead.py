"""How much SI-NI-TI-DIM costs beyond its forward and backward passes.

    python -m benchmarks.attack_overhead --model wheel:efficientnet_lite0 --precision bf16

Times the attack and T * m bare passes of the same classifier on the same batch in turn, and prints the ratio of
each pair. ``--attack`` and ``--options`` choose another attack, such as ``--attack mi_fgsm --options
'{"views": ["bsr"]}'``; ``random:NAME`` is a timm model with random weights.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier, keep_freed_memory, load_model, optimize


def bare_passes(model: nn.Module, images: Tensor, labels: Tensor, count: int) -> None:
    """Run forward and backward passes to the input, nothing else."""
    for _ in range(count):
        leaf = images.detach().requires_grad_()
        loss = nn.functional.cross_entropy(model(leaf).float(), labels, reduction="sum")
        torch.autograd.grad(loss, leaf)


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time one call, waiting for the device."""
    started = clock()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - started


def load(spec: str) -> Classifier:
    """Load a model; ``random:NAME`` has random weights."""
    source, _, name = spec.partition(":")
    return Classifier(timm.create_model(name)) if source == "random" else load_model(spec)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="wheel:efficientnet_lite0")
    parser.add_argument("--attack", default="si_ni_ti_dim")
    parser.add_argument("--options", type=json.loads, default={}, help="other options of the attack, as JSON")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=["bf16", "float32"], default="bf16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="CPU threads; with 1 the process's own time is measured")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    # With one thread the process's own time ignores whatever else the machine does.
    clock = time.process_time if arguments.threads == 1 else time.perf_counter

    keep_freed_memory()  # as generate.py does
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = optimize(load(arguments.model), compile=arguments.compile).to(device)
    images = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(arguments.batch, device=device)
    attack = create_attack(arguments.attack, model, steps=arguments.steps, **arguments.options)
    passes = attack.passes

    with torch.autocast(device, torch.bfloat16, enabled=arguments.precision == "bf16"):
        bare_passes(model, images, labels, 2)
        attack(images, labels)
        pairs = [
            (
                seconds(lambda: attack(images, labels), clock),
                seconds(lambda: bare_passes(model, images, labels, passes), clock),
            )
            for _ in range(arguments.repeats)
        ]
    whole, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    milliseconds = 1000 / (passes * arguments.batch)
    print(
        f"{arguments.attack} {json.dumps(arguments.options)} on {arguments.model}, {arguments.size} px, batch "
        f"{arguments.batch}, "
        f"{arguments.precision}, {device}"
    )
    print(f"bare pass     {bare * milliseconds:.2f} ms an image")
    print(f"attack's pass {whole * milliseconds:.2f} ms an image")
    print(
        f"ratio         {statistics.median(ratios):.3f} (of {len(ratios)} pairs: {ratios[0]:.3f} to {ratios[-1]:.3f})"
    )


if __name__ == "__main__":
    main()
