"""Settings come from configuration files, so their types are checked where an attack is built."""

from dataclasses import fields
from typing import Any, get_type_hints

from lit_adv.declared_types import check_type


def check_types(settings: Any) -> None:
    """Refuse a settings dataclass whose values are not of the declared types.

    Args:
        settings: A dataclass of plain values.

    Raises:
        ValueError: If a value has another type, or is none of a literal's choices.
    """
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        check_type(field.name, getattr(settings, field.name), hints[field.name])


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
