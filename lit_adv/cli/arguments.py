"""What a user typed, put in an order in which it means what it says.

jsonargparse reads arguments from left to right, and a later one replaces an earlier one. So a file would replace what
was typed before it, and a whole dictionary all of its entries that were typed before it, both without a word.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lit_adv.cli.configs import find_config
from lit_adv.errors import MendableError

_CONFIG = ("-c", "--config")


class _Option(NamedTuple):
    """An option as it was typed: its name, its value if it has one, and its words."""

    name: str
    value: str | None
    words: list[str]


def prepare(arguments: Sequence[str], kind: str) -> list[str]:
    """Put configuration files first, by their paths, and refuse an order of options that would lose one.

    Args:
        arguments: What the user typed.
        kind: The folder below ``configs/`` in which names of configurations are looked up.

    Returns:
        The arguments to parse. What was typed overrides the files, the last file the others.

    Raises:
        MendableError: If there is no such configuration, a word behind its name belongs to no option, or an option
            would replace a part of itself.
    """
    options = list(_options(arguments))
    _refuse_words_behind_a_file(options)
    files = [find_config(option.value, kind) for option in options if option.name in _CONFIG and option.value]
    others = [option for option in options if option.name not in _CONFIG or not option.value]
    _refuse_lost_parts(others)
    _tell_of_replaced_entries(others, files)
    return [*(f"--config={file}" for file in files), *(word for option in others for word in option.words)]


def at_least_one(text: str) -> int:
    """Return a number that counts something, for argparse.

    Raises:
        ArgumentTypeError: If it is none, or less than 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a number from 1, got {text!r}")
    return int(text)


def _options(arguments: Sequence[str]) -> Iterator[_Option]:
    """Group words: an option takes the words behind it up to the next option."""
    option: _Option | None = None
    for word in arguments:
        if option is not None and not _is_option(word):
            option = option._replace(value=option.value or word, words=[*option.words, word])
            continue
        if option is not None:
            yield option
        name, equals, value = word.partition("=")
        option = _Option(name, value if equals else None, [word])
    if option is not None:
        yield option


def _is_option(word: str) -> bool:
    return word.startswith("-") and not word[1:2].isdigit() and word != "-"


def _refuse_words_behind_a_file(options: Sequence[_Option]) -> None:
    for option in options:
        behind = option.words[1:] if "=" in option.words[0] else option.words[2:]
        if option.name in _CONFIG and behind:
            raise MendableError(
                f"{option.name} takes one file, {option.value}, and {behind[0]!r} behind it belongs to no option; "
                f"several files are {option.name} FIRST {option.name} SECOND"
            )


def _refuse_lost_parts(options: Sequence[_Option]) -> None:
    for number, whole in enumerate(options):
        for part in options[:number]:
            if part.name.startswith(f"{whole.name}."):
                raise MendableError(
                    f"{whole.name} would replace {part.name}, which stands before it; put {whole.name} first"
                )


def _tell_of_replaced_entries(options: Sequence[_Option], files: Sequence[str]) -> None:
    """Say which entries of a file's dictionary are gone when the whole is typed anew."""
    for option in options:
        typed = _parse(option.value)
        if not isinstance(typed, dict) or "class_path" in typed:
            continue
        for file in files:
            said = _look_up(file, option.name.removeprefix("--"))
            lost = [str(name) for name in said if name not in typed] if isinstance(said, dict) else []
            if lost:
                print(
                    f"note: {option.name} replaces all that {Path(file).name} says there, {', '.join(lost)} too; "
                    f"{option.name}.NAME VALUE would change one entry",
                    file=sys.stderr,
                )


def _parse(text: str | None) -> Any:
    try:
        return yaml.safe_load(text or "")
    except yaml.YAMLError:
        return None


def _look_up(file: str, name: str) -> Any:
    """Return what a configuration file says of a setting; None if nothing, or if the file is not at hand."""
    try:
        value = yaml.safe_load(Path(file).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
