"""What a process says when something is wrong."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lit_adv.cli.requirements import unmet
from lit_adv.errors import MendableError
from lit_adv.shards.remote import redact

_MENDABLE = (MendableError, OSError, ValueError)

# torch hands on what is raised in a data loader's worker under this heading, as an error of the same type.
_OF_A_WORKER = re.compile(
    r"Caught (\w+) in DataLoader worker process \d+\.\nOriginal Traceback .*^(?:\w+\.)*\1: (.*)",
    re.DOTALL | re.MULTILINE,
)


@contextmanager
def plain_errors() -> Iterator[None]:
    """End the process with the message alone where the user can mend what is wrong; a traceback would bury it.

    Whatever else is raised where a package is too old is likely its fault, so that is said. Neither message nor
    traceback shows credentials in URLs.
    """
    try:
        yield
    except Exception as error:
        sys.exit(redact(_explain(error)))


def _explain(error: Exception) -> str:
    wanted = "LIT_ADV_TRACEBACK" in os.environ
    if isinstance(error, _MENDABLE) and not wanted:
        return f"error: {_message(error)}\n(set LIT_ADV_TRACEBACK=1 to see where)"
    trace = traceback.format_exc()
    if not (packages := unmet()):
        return trace
    names = " ".join(f"'{requirement}'" for requirement in packages)
    said = f"error: {_message(error)}\n{'; '.join(packages.values())}. Run: pip install --upgrade {names}"
    return trace + said if wanted else said


def _message(error: Exception) -> str:
    """Return an error's own words, without the traceback of the worker process that it may come from."""
    caught = _OF_A_WORKER.match(str(error))
    return caught[2].rstrip() if caught else str(error)
