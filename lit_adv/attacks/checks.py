"""Settings come from configuration files, so their types are checked where an attack is built."""

from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_types(settings: Any) -> None:
    """Refuse a settings dataclass whose values are not of the declared types.

    Args:
        settings: A dataclass of plain values.

    Raises:
        ValueError: If a value has another type, or is none of a literal's choices.
    """
    hints = get_type_hints(type(settings))
    for name in (field.name for field in fields(settings)):
        hint = hints[name]
        kinds = get_args(hint) if get_origin(hint) is UnionType or type(None) in get_args(hint) else (hint,)
        value = getattr(settings, name)
        if not any(_is_of(value, kind) for kind in kinds):
            raise ValueError(f"{name} is {value!r}, but must be {' or '.join(map(_describe, kinds))}")


def check_range(settings: Any, **bounds: tuple[float, float]) -> None:
    """Refuse a settings dataclass with a value outside its closed range.

    Args:
        settings: A dataclass of plain values.
        **bounds: The lowest and highest value of each setting.

    Raises:
        ValueError: If a value is out of range.
    """
    for name, (lowest, highest) in bounds.items():
        if not lowest <= (value := getattr(settings, name)) <= highest:
            raise ValueError(f"{name} is {value}, but must be in [{lowest}, {highest}]")


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):
        return kind is bool
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_of(item, get_args(kind)[0]) for item in value)
    return isinstance(value, int | float if kind is float else get_origin(kind) or kind)


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return f"a list of {get_args(kind)[0].__name__}"
    return "null" if kind is NoneType else f"of type {(get_origin(kind) or kind).__name__}"
