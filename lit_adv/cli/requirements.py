"""Whether the packages that lit_adv needs are there, and new enough."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

_FILE = Path(__file__).parents[2] / "requirements.txt"  # of a clone


def unmet() -> dict[str, str]:
    """Return what is wrong with each required package that is missing, too old or too new, by what pip would install.

    Example:
        >>> unmet()
        {}
    """
    requirements = map(Requirement, _lines())
    return {str(requirement): wrong for requirement in requirements if (wrong := _complain(requirement))}


def _lines() -> Iterator[str]:
    if _FILE.is_file():
        lines = (line.partition("#")[0].strip() for line in _FILE.read_text().splitlines())
        yield from filter(None, lines)
        return
    try:
        yield from (line for line in requires("lit_adv") or [] if "extra ==" not in line)
    except PackageNotFoundError:
        return


def _complain(requirement: Requirement) -> str | None:
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return f"{requirement.name} is {installed} and lit_adv needs {requirement.name}{requirement.specifier}"
