"""``lit-adv verify``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lit_adv.cli.arguments import at_least_one
from lit_adv.errors import MendableError
from lit_adv.shards.verify import repair
from lit_adv.shards.verify import verify as verify_folder
from lit_adv.shards.verify.report import printable


def verify(arguments: Sequence[str], prog: str = "lit-adv verify") -> int:
    """Verify an output folder; return the exit status, 0 if all is complete and whole, else 1.

    Raises:
        MendableError: If there is nothing to verify, or storage fails.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description="Re-read every byte that a generation job wrote, and name every fault."
    )
    parser.add_argument("folder", help="the output folder, local or remote")
    parser.add_argument("--source", help="the input shards; their keys and labels are compared, too")
    parser.add_argument("--threads", type=at_least_one, default=4, help="shards checked at a time (default: 4)")
    parser.add_argument("--repair", action="store_true", help="remove what is faulty; run the job again to make it")
    options = parser.parse_args(arguments)
    try:
        report = verify_folder(options.folder, options.source, options.threads)
        print(report)
        if options.repair:
            repair(options.folder, report)
    except (OSError, ValueError) as error:
        raise MendableError(printable(str(error))) from error
    if options.repair and report.removable:
        print(f"removed {', '.join(report.removable)}; run the job again to make what is missing")
    return 0 if report.complete else 1
