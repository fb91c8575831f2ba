"""From a template and what is to be shown to a file that stands alone."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_MARK = re.compile(r"(?<=[:_(/,+])")  # behind these


def render(template: str, **shown: Any) -> bytes:
    """Return a page. Whatever comes from data is escaped; style, script and figures are within it.

    The page's own policy forbids all that is not in it: a browser neither asks the network for anything nor runs a
    script that came with the data.

    Args:
        template: The name of a file in ``templates/``, without ``.html``.
        **shown: What the template names.

    Returns:
        An HTML file's content, the same for the same arguments.
    """
    style, script = _text("page.css"), _text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The style and the script are the package's own, not data.
    own = {"style": Markup(style), "script": Markup(script), "script_sha256": digest}  # noqa: S704
    return _environment().get_template(f"{template}.html").render(**own, **shown).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lit_adv.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "share": share, "rate": rate, "breakable": breakable}
    return environment


def rate(counted: Sequence[float]) -> str:
    """Return a :class:`lit_adv.metrics.Rate` as the script takes it: in percent, ends of the interval, hits, total.

    Example:
        >>> rate((9, 10, 0.9, 0.596, 0.982))
        '90.0,59.6,98.2,9,10'
    """
    hits, total, *shares = counted
    return ",".join([*map(share, shares), str(hits), str(total)])


def breakable(name: str) -> Markup:
    """Return a name, escaped, that goes on in the next line behind a mark rather than within a word.

    Example:
        >>> breakable("rp(wheel:lite_1)")
        Markup('rp(<wbr>wheel:<wbr>lite_<wbr>1)')
    """
    return Markup("<wbr>").join(_MARK.split(name))


def _text(name: str) -> str:
    return files("lit_adv.pages").joinpath("templates", name).read_text(encoding="utf-8")


def percent(value: float | None) -> str:
    """Return a share in percent with one decimal; a dash where there is none.

    Example:
        >>> percent(0.975), percent(None)
        ('97.5', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f}"  # noqa: RUF001


def share(value: float | None) -> str:
    """Return a share as the script takes it: in percent, nothing where there is none."""
    return percent(value) if value is not None and not math.isnan(value) else ""
