"""SI-NI-FGSM here, in bf16 or float32, and in torchattacks, in float32 as documented: same model and batch, in turn.

python -m benchmarks.against_torchattacks --model wheel:efficientnet_lite0 --precision float32
"""

import argparse
import statistics

import torch
import torchattacks

from benchmarks.attack_overhead import load, seconds
from lit_adv.attacks import create_attack
from lit_adv.models import optimize

EPS = 16 / 255


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="wheel:efficientnet_lite0")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=["bf16", "float32"], default="bf16")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=device)
    labels = torch.arange(arguments.batch, device=device)
    # Theirs runs as its documentation has it: a model in eval mode, images in the default layout.
    plain = load(arguments.model).eval().to(device)
    fast = optimize(load(arguments.model)).to(device)
    theirs = torchattacks.SINIFGSM(plain, eps=EPS, alpha=EPS / 10, steps=arguments.steps, m=5)
    ours = create_attack("si_ni_fgsm", fast, eps=EPS, step_size=EPS / 10, steps=arguments.steps, scale_space="unit")
    ours_images = images.to(memory_format=torch.channels_last)

    def run_ours() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=arguments.precision == "bf16"):
            ours(ours_images, labels)

    run_ours()
    pairs = [(seconds(lambda: theirs(images, labels)), seconds(run_ours)) for _ in range(arguments.repeats)]
    speeds = [arguments.batch / statistics.median(column) for column in zip(*pairs, strict=True)]
    print(f"SI-NI-FGSM, {arguments.steps} steps, {arguments.model}, {arguments.size} px, batch {arguments.batch}")
    print(f"torchattacks, as documented (float32)  {speeds[0]:.2f} images/s")
    print(f"lit_adv, {arguments.precision:<8}                      {speeds[1]:.2f} images/s")
    print(f"ratio {statistics.median(a / b for a, b in pairs):.2f}")


if __name__ == "__main__":
    main()
