"""Parts of an attack as configurations name them: ``vni``, ``{bsr: {blocks: 2}}`` or ``{scale: 5}``."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Protocol, TypeVar

from lit_adv.attacks.budget import parse_fractions
from lit_adv.attacks.checks import check_range, check_types


class Part(Protocol):
    """The settings of a part: a frozen dataclass of plain values that extends this class.

    Attributes:
        bounds: The lowest and highest value of those settings that have a range.
    """

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}


AnyPart = TypeVar("AnyPart", bound=Part)


def parse_part(kind: str, table: Mapping[str, type[AnyPart]], spec: Any) -> AnyPart:
    """Build a part.

    Args:
        kind: What it is, for messages, such as ``view``.
        table: Parts by name.
        spec: A name, or a mapping of one name to the part's options, or to the value of its first option.

    Returns:
        The part.

    Raises:
        ValueError: If the name or an option is unknown, or a value has another type or is out of range.
    """
    name, options = _split(kind, spec)
    if name not in table:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), table, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown {kind} {name!r}{hint}; known: {', '.join(table)}")
    part = table[name]
    known = [field.name for field in fields(part)]  # type: ignore[arg-type]
    if not isinstance(options, Mapping):
        if not known:
            raise ValueError(f"{kind} {name!r} has no options, but is given {options!r}")
        options = {known[0]: options}
    for option in options:
        if option not in known:
            raise ValueError(f"{kind} {name!r} has no option {option!r}; its options: {', '.join(known) or 'none'}")
    try:
        values = {option: _frozen(parse_fractions(value)) for option, value in options.items()}
        made = part(**values)
        check_types(made)
        check_range(made, **part.bounds)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{kind} {name!r}: {error}") from error
    return made


def describe_part(table: Mapping[str, type[Any]], part: Any) -> dict[str, Any]:
    """Return a part as :func:`parse_part` takes it, with all of its options, as plain values."""
    name = next(name for name, kind in table.items() if type(part) is kind)
    return {name: {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(part).items()}}


def _split(kind: str, spec: Any) -> tuple[str, Any]:
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and len(spec) == 1:
        ((name, options),) = spec.items()
        return str(name), {} if options is None else options
    raise ValueError(
        f"a {kind} is a name, or one name with its options such as {{name: {{option: value}}}}, not {spec!r}"
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
