#!/usr/bin/env python
"""Make adversarial shards: ``python generate.py --config FILE --data.shards PATTERN --output.path FOLDER``."""

from lightning.pytorch.cli import ArgsType

from lit_adv.cli import GenerationCLI, leave_process_group, plain_errors
from lit_adv.tracking import print_summary


def main(args: ArgsType = None) -> None:
    """Run a generation job; ``--help`` shows all settings.

    Args:
        args: Command line arguments; the process's own by default.
    """
    cli = GenerationCLI(args)
    try:
        cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
    finally:
        print_summary(cli.trainer)
        leave_process_group()


if __name__ == "__main__":
    with plain_errors():
        main()
