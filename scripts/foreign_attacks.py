"""Run every attack of torchattacks, and every L-infinity and L2 attack of foolbox, on 8 real images; print a table.

The model is EfficientNet-Lite0; the images are the first 8 of foolbox's ImageNet images that it classifies right.
Each attack runs as a job would run it, but in a process of its own that is ended after a time. What is slow is given
fewer steps, as its row says. With --precision bf16 the model computes in bfloat16, as jobs do where that is fast.

python scripts/foreign_attacks.py --size 160 --seconds 120 > table.md
"""

import argparse
import inspect
import json
import logging
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from lit_adv.attacks import create_attack, grey_levels, quantize, without_garbage
from lit_adv.models import load_model, optimize, to_float

COLUMNS = ("attack", "norm", "options", "runs", "seconds", "fooled of 8", "unchanged", "not finite")

#: What the slowest attacks are given; the others run with the libraries' defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "torchattacks.JSMA": {"gamma": 0.01},
    "torchattacks.Square": {"n_queries": 200},
    "torchattacks.Pixle": {"restarts": 5},
    "torchattacks.EADL1": {"max_iterations": 20, "binary_search_steps": 3},
    "torchattacks.EADEN": {"max_iterations": 20, "binary_search_steps": 3},
    "torchattacks.SparseFool": {"steps": 1},
    "torchattacks.FAB": {"steps": 3},
    "foolbox.attacks.L2CarliniWagnerAttack": {"steps": 50, "binary_search_steps": 3},
    "foolbox.attacks.BoundaryAttack": {"steps": 200},
    "foolbox.attacks.HopSkipJumpAttack": {"steps": 3, "max_gradient_eval_steps": 100},
    "foolbox.attacks.SaltAndPepperNoiseAttack": {"steps": 100},
    "foolbox.attacks.VirtualAdversarialAttack": {"steps": 5},
}
#: The budget of foolbox's attacks that need one, by norm.
BUDGETS = {"Linf": "8/255", "L2": 3.0}
SMALL = {"torchattacks.JSMA": 32, "torchattacks.SparseFool": 32}
#: What takes a gradient of every class is shown a model of the 8 images' classes and 2 more.
FEW_CLASSES = {"torchattacks.DeepFool", "torchattacks.FAB", "torchattacks.JSMA", "torchattacks.SparseFool"}


class FewClasses(nn.Module):
    """Some of a model's classes."""

    def __init__(self, model: nn.Module, classes: list[int]) -> None:
        super().__init__()
        self.model = model
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, len(classes)] of images [B, 3, H, W]."""
        logits: Tensor = self.model(images)[:, self.classes]
        return logits


def list_torchattacks() -> list[str]:
    """Return the class paths of all attacks."""
    import torchattacks

    return [f"torchattacks.{name}" for name in torchattacks.__all__]


def list_foolbox() -> list[str]:
    """Return the class paths of all L-infinity and L2 attacks."""
    from foolbox import attacks

    kinds = {kind for _, kind in inspect.getmembers(attacks, inspect.isclass)}
    names = sorted(kind.__name__ for kind in kinds)
    # HopSkipJump's norm is an option, L2 by default.
    return [f"foolbox.attacks.{name}" for name in names if name.startswith(("L2", "Linf", "LInf"))] + [
        f"foolbox.attacks.{name}"
        for name in names
        if name in ("BoundaryAttack", "DDNAttack", "GenAttack", "HopSkipJumpAttack", "NewtonFoolAttack",
                    "SaltAndPepperNoiseAttack", "VirtualAdversarialAttack")
    ]  # fmt: skip


def read_images(size: int) -> tuple[Tensor, Tensor]:
    """Return foolbox's 20 ImageNet images, uint8 [20, 3, size, size], and their labels."""
    import foolbox

    files = sorted(Path(foolbox.__file__).parent.glob("data/imagenet_*.jpg"))
    crops = [
        functional.center_crop(functional.resize(Image.open(f).convert("RGB"), size * 8 // 7), size) for f in files
    ]
    images = torch.stack([functional.pil_to_tensor(crop) for crop in crops])
    return images, torch.tensor([int(file.stem.rsplit("_", 1)[1]) for file in files])


def run_one(path: str, size: int, precision: str) -> dict[str, Any]:
    """Run one attack and return its row."""
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    options = dict(OPTIONS.get(path, {}))
    images, labels = read_images(size)
    model = optimize(load_model("wheel:efficientnet_lite0"))
    with torch.no_grad():
        right = (model(to_float(images)).argmax(1) == labels).nonzero().flatten()[:8]
    images, labels = images[right], labels[right]
    shown = dict(options)
    if path in FEW_CLASSES:
        classes = [*labels.tolist(), 0, 1]
        model, labels = FewClasses(model, classes), torch.arange(8)
        shown["classes"] = 10
    if path in SMALL:
        shown["pixels"] = SMALL[path]
        images = functional.resize(images, [SMALL[path]] * 2)
    name = path.rsplit(".", 1)[1]
    try:
        attack: Any = create_attack(path, model, **options)
    except ValueError as error:
        if "give eps" not in str(error):
            return {"runs": f"refused: {shorten(error)}"}
        options["eps"] = shown["eps"] = BUDGETS["Linf" if name.lower().startswith("linf") else "L2"]
        attack = create_attack(path, model, **options)
    clean = to_float(images)
    start = time.perf_counter()
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            made = attack(clean, labels, [str(i) for i in range(8)])
    except Exception as error:
        return {"norm": attack.norm, "options": shown, "runs": f"refused: {shorten(error)}"}
    seconds = time.perf_counter() - start
    kept, garbage = without_garbage(made, clean)
    stored = quantize(kept, images, None if attack.eps is None else grey_levels(attack.eps))
    with torch.no_grad():
        fooled = model(to_float(stored)).argmax(1) != labels
    return {
        "norm": attack.norm, "options": shown, "runs": "yes", "seconds": round(seconds, 1),
        "fooled of 8": int(fooled.sum()), "not finite": int(garbage.sum()),
        "unchanged": int((stored == images).flatten(1).all(1).sum()),
    }  # fmt: skip


def shorten(error: Exception) -> str:
    """Return what an error says, in one short line of a table."""
    return " ".join(str(error).split()).replace("|", "/")[:200]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", help="class paths; all by default")
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--seconds", type=float, default=120, help="after which an attack is ended")
    parser.add_argument("--precision", choices=["bf16", "float32"], default="float32")
    parser.add_argument("--one", action="store_true", help="run the one attack named, and print its row as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(run_one(arguments.attacks[0], arguments.size, arguments.precision)))
        return
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for path in arguments.attacks or [*list_torchattacks(), *list_foolbox()]:
        command = [sys.executable, __file__, path, "--one", "--size", str(arguments.size)]
        try:
            ended = subprocess.run(
                [*command, "--precision", arguments.precision],
                capture_output=True, text=True, timeout=arguments.seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            row: dict[str, Any] = {"runs": f"not within {arguments.seconds:.0f} s", "options": OPTIONS.get(path)}
        else:
            last = ended.stdout.rstrip().splitlines()[-1:] if ended.returncode == 0 else []
            row = json.loads(last[0]) if last else {"runs": f"exit status {ended.returncode}: {ended.stderr[-200:]!r}"}
        row["options"] = ", ".join(f"{name} {value}" for name, value in (row.get("options") or {}).items())
        shown = {"attack": f"`{path}`", **row}
        print(
            "| " + " | ".join(str("" if shown.get(name) is None else shown[name]) for name in COLUMNS) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
