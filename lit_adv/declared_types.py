"""Whether a value from a configuration file is of the type that the code declares."""

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin


def check_type(name: str, value: Any, hint: Any) -> None:
    """Refuse a value of another type than the declared one.

    Args:
        name: What the value is called.
        value: A plain value. A whole number is taken for a float, a truth value for no number.
        hint: The type: a class, a literal, a tuple or sequence of one type, or a union of these.

    Raises:
        ValueError: If the value has another type, or is none of a literal's choices.
    """
    kinds = get_args(hint) if get_origin(hint) is UnionType or NoneType in get_args(hint) else (hint,)
    if not any(_is_of(value, kind) for kind in kinds):
        raise ValueError(f"{name} is {value!r}, but must be {' or '.join(map(_describe, kinds))}")


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):
        return kind is bool
    if get_origin(kind) in (tuple, Sequence):
        listed = isinstance(value, get_origin(kind)) and not isinstance(value, str)
        return listed and all(_is_of(item, get_args(kind)[0]) for item in value)
    return isinstance(value, int | float if kind is float else get_origin(kind) or kind)


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) in (tuple, Sequence):
        return f"a list of {get_args(kind)[0].__name__}"
    return "null" if kind is NoneType else f"of type {(get_origin(kind) or kind).__name__}"
