"""The front door: ``lit-adv COMMAND``, or ``python -m lit_adv COMMAND`` where the package is not installed.

A command's module is imported when the command is called, so that those that only look at files start at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from lit_adv import __version__
from lit_adv.cli.errors import plain_errors
from lit_adv.errors import MendableError


class Command(NamedTuple):
    """A command.

    Attributes:
        function: Where it is, as ``module:function``; it takes the arguments and the name that usage shows, and returns
            the exit status, None for 0.
        summary: What it does, in a line.
    """

    function: str
    summary: str


COMMANDS = {
    "generate": Command("generate:generate", "make adversarial shards from shards of clean images"),
    "test": Command("evaluate:evaluate", "measure how well adversarial shards transfer to other models and defenses"),
    "fit": Command("train:fit", "train a classifier, or the denoiser of a defense, on clean and adversarial shards"),
    "validate": Command("train:validate", "measure a classifier's clean and robust accuracy, as each epoch's end does"),
    "paper": Command("paper:paper", "make the paper's tables and figures, with its models or yours"),
    "clean": Command(
        "clean:clean", "show clean images to models: what each classifies correctly, its loss when scaled"
    ),
    "pack": Command("pack:pack", "turn a folder of images into shards"),
    "unpack": Command("unpack:unpack", "turn shards into a folder of PNG files with a CSV file of labels"),
    "verify": Command("verify:verify", "re-read what generate made, name every fault, and remove what is faulty"),
    "status": Command("status:status", "say how far a job or a run is, from its folder alone, and make a page of it"),
    "dashboard": Command("dashboard:dashboard", "save a view of a W&B project that shows what is logged, in one place"),
    "convert": Command("convert:convert", "turn a TensorFlow checkpoint of a slim network into a safetensors file"),
    "examples": Command("examples:examples", "draw adversarial images beside the clean ones"),
    "sample": Command("sample:sample", "pack 20 real, labeled ImageNet images, for a first try"),
}

_VERSIONS = ("torch", "lightning", "timm", "webdataset")


def main(
    arguments: Sequence[str] | None = None, commands: Sequence[str] = tuple(COMMANDS), prog: str = "lit-adv"
) -> int:
    """Run a command as a process does: what a user can mend ends in a message, not in a traceback.

    Args:
        arguments: The command and its arguments; the process's own by default.
        commands: The commands on offer.
        prog: What stands before the command in usage.

    Returns:
        The exit status.
    """
    with plain_errors():
        return run(sys.argv[1:] if arguments is None else arguments, commands, prog)


def run(arguments: Sequence[str], commands: Sequence[str] = tuple(COMMANDS), prog: str = "lit-adv") -> int:
    """Run a command; see :func:`main`.

    Raises:
        MendableError: If there is no such command.
        Exception: What the command raises.
    """
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(_overview(commands, prog))
        return 0
    if name == "--version":
        print(_versions())
        return 0
    if name not in commands:
        near = get_close_matches(name, commands, 1)
        raise MendableError(
            f"there is no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; see {prog} --help")
        )
    module, function = COMMANDS[name].function.split(":")
    status = getattr(import_module(f"lit_adv.cli.{module}"), function)(rest, f"{prog} {name}")
    return status or 0


def _overview(commands: Sequence[str], prog: str) -> str:
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {COMMANDS[name].summary}" for name in commands]
    return "\n".join(
        [
            f"usage: {prog} COMMAND ...",
            "",
            "Adversarial images at dataset scale.",
            "",
            *lines,
            "",
            f"{prog} COMMAND --help shows a command's settings, {prog} --version the versions that matter.",
        ]
    )


def _versions() -> str:
    lines = [f"lit_adv {__version__}", f"python {sys.version.split()[0]}"]
    for package in _VERSIONS:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join([*lines, f"device {_device()}"])


def _device() -> str:
    try:
        import torch  # takes seconds, which no other line here needs
    except ImportError as error:
        return f"unknown ({error})"
    if not torch.cuda.is_available():
        return "cpu"
    return ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
