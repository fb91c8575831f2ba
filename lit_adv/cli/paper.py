"""``lit-adv paper``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_adv.cli.arguments import at_least_one
from lit_adv.cli.configs import find_config
from lit_adv.cli.main import main
from lit_adv.errors import MendableError
from lit_adv.reproduction.experiments import EVERYTHING, FIGURES, TABLES
from lit_adv.reproduction.processes import stop_on_signal

_HANDED_ON = ("--trainer.", "--data.", "--model.", "--output.", "--report.")


def paper(arguments: Sequence[str], prog: str = "lit-adv paper") -> None:
    """Make tables and figures of the paper."""
    own, handed_on = _split(arguments)
    options = _parser(prog).parse_args(own)
    from lit_adv.reproduction.paper_run import PaperRun  # takes seconds; a mistake is told at once

    wanted = list(EVERYTHING) if "all" in options.what else list(dict.fromkeys(options.what))
    with stop_on_signal():
        run = PaperRun(
            zoo_file=find_config(options.zoo, "zoos"),
            weights=options.weights,
            wanted=wanted,
            shards=options.data[0] if len(options.data) == 1 else options.data,
            output=Path(options.output),
            handed_on=handed_on,
        )
        run.make(main, rule=options.selection, most=options.images, parallel=options.parallel, only_plan=options.plan)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make tables and figures of Lin et al. (ICLR 2020), with the paper's numbers beside. All jobs\n"
        "that this takes are ordinary runs of lit-adv below the output folder; run again, and what is done stays done.",
        epilog="--trainer.*, --data.* and --model.* behind these go to the jobs, such as --data.batch_size 64 or\n"
        "--trainer.precision 32-true; --data.job INDEX/COUNT shares the work between machines.",
    )
    parser.add_argument(
        "what",
        nargs="+",
        choices=[*TABLES, *FIGURES, "all"],
        metavar="WHAT",
        help=", ".join([*TABLES, *FIGURES, "all"]),
    )
    parser.add_argument(
        "--zoo", required=True, help="the models: paper, local, or a YAML file like those in configs/zoos"
    )
    parser.add_argument("--weights", metavar="FOLDER", help="folder of weights files; not needed for the zoo local")
    parser.add_argument(
        "--data", required=True, nargs="+", metavar="SHARDS", help="clean shards: a folder, a glob, a pattern"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for everything that is made")
    parser.add_argument(
        "--selection",
        choices=("correct", "all"),
        default="correct",
        help="correct: the images that all targets classify correctly, as in the paper (default); all: every image",
    )
    parser.add_argument("--images", type=at_least_one, metavar="N", help="only the first N of these images")
    parser.add_argument(
        "--parallel", type=at_least_one, default=1, metavar="N", help="how many jobs run at once (default: 1)"
    )
    parser.add_argument("--plan", action="store_true", help="show the plan, and end")
    return parser


def _split(arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Tell the command's own words from the options for the jobs, which take the words behind them."""
    own: list[str] = []
    handed_on: list[list[str]] = []
    to = own
    for word in arguments:
        if word.startswith(_HANDED_ON):
            handed_on.append(to := [word])
        else:
            if word.startswith("--"):
                to = own
            to.append(word)
    taken = [words[0] for words in handed_on if words[0].partition("=")[0] in ("--data.shards", "--data.attacks")]
    if taken or any(words[0].startswith(("--output.path", "--report.path")) for words in handed_on):
        raise MendableError("the jobs' shards and folders follow from --data and --output")
    return own, handed_on
