#!/usr/bin/env python
"""Use adversarial shards: ``python train_adv.py test --config FILE --data.attacks '{NAME: FOLDER}'`` evaluates them."""

from lightning.pytorch.cli import ArgsType

from lit_adv.cli import EvaluationCLI, leave_process_group, plain_errors


def main(args: ArgsType = None) -> None:
    """Run a subcommand; ``test --help`` shows all settings.

    Args:
        args: Command line arguments; the process's own by default.
    """
    EvaluationCLI(args)
    leave_process_group()


if __name__ == "__main__":
    with plain_errors():
        main()
