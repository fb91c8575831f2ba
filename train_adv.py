#!/usr/bin/env python
"""Train on adversarial shards, and evaluate how well they transfer.

``python train_adv.py fit --config configs/train/ensemble.yaml`` trains a classifier or a denoiser, ``validate`` runs
the validation alone, ``test --config FILE --data.attacks '{NAME: FOLDER}'`` shows the shards to other models.
"""

import argparse

from lit_adv.cli import EvaluationCLI, TrainingCLI, leave_process_group, plain_errors

_COMMANDS = {
    "fit": (TrainingCLI, "train a classifier, or the denoiser of a defense, on clean and adversarial shards"),
    "validate": (TrainingCLI, "measure a classifier's clean and robust accuracy, as training does in every epoch"),
    "test": (EvaluationCLI, "measure how well adversarial shards transfer to other models and defenses"),
}


def main(args: list[str] | None = None) -> None:
    """Run a subcommand; ``COMMAND --help`` shows all its settings.

    Args:
        args: Command line arguments; the process's own by default.
    """
    parser = argparse.ArgumentParser(description="Train on adversarial shards, and evaluate them.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, help_text) in _COMMANDS.items():
        commands.add_parser(name, help=help_text, add_help=False)  # the command's own parser has the help
    command, _ = parser.parse_known_args(args)
    _COMMANDS[command.command][0](args)
    leave_process_group()


if __name__ == "__main__":
    with plain_errors():
        main()
