"""How much of generate.py's time the attack has to itself.

    python -m benchmarks.end_to_end --config configs/generate/si_ni_ti_dim.yaml --trainer.logger false \
        --data.shards 'imagenet-sample-{000000..000003}.tar' --output.path /tmp/end_to_end

Takes generate.py's arguments, runs it once, and times the attack's calls inside. The ratio of the two speeds is what
reading, decoding, scoring, encoding and writing leave to the attack; both come from one run, so a machine that
changes its speed does not disturb it.
"""

import sys
import time

import torch
from torch import nn

from lit_adv.cli.generate import GenerationCLI


def time_calls(module: nn.Module) -> list[float]:
    """Let a module note the seconds of each of its calls."""
    seconds: list[float] = []

    def start(*_: object) -> None:
        _wait()
        seconds.append(-time.perf_counter())

    def end(*_: object) -> None:
        _wait()
        seconds[-1] += time.perf_counter()

    module.register_forward_pre_hook(start)
    module.register_forward_hook(end)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    cli = GenerationCLI(sys.argv[1:])
    attack_seconds = time_calls(cli.model.attack)
    started = time.perf_counter()
    cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
    whole, attack = time.perf_counter() - started, sum(attack_seconds)
    print(f"generate.py {whole:.1f} s, the attack's part {attack:.1f} s, ratio of speeds {attack / whole:.3f}")


if __name__ == "__main__":
    main()
