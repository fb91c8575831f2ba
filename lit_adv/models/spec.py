"""How a model is named: ``source:name[@checkpoint][?option=value&...]``."""

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

SOURCES = ("timm", "wheel", "import", "slim")


@dataclass(frozen=True)
class ModelSpec:
    """A model's name, taken apart.

    Attributes:
        source: One of :data:`SOURCES`.
        name: The model's name within its source.
        checkpoint: A local weights file; None for the source's own weights.
        size: Side that every image is resized to before the model sees it; None for no resizing.
        background: Whether an attack's loss is over the background class, too.
        aux: Factor of the auxiliary head in an attack's loss; None for no auxiliary head.
    """

    source: str
    name: str
    checkpoint: str | None = None
    size: int | None = None
    background: bool = False
    aux: float | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """Take a spec apart.

        Args:
            text: For instance ``timm:inception_v3.tf_in1k``, ``timm:resnet50@best.safetensors?size=224``,
                ``slim:inception_v3@inception_v3.ckpt?background=1&aux=0.4``, ``wheel:efficientnet_lite0`` or
                ``import:my_package.models:build``.

        Returns:
            The parts.

        Raises:
            ValueError: If the text is not of that form.

        Example:
            >>> ModelSpec.parse("timm:resnet50@best.safetensors?size=256").size
            256
        """
        body, _, query = text.partition("?")
        source, _, rest = body.partition(":")
        name, _, checkpoint = rest.partition("@")
        options = dict(parse_qsl(query, keep_blank_values=True))
        try:
            if source not in SOURCES or not name:
                raise ValueError
            return cls(source, name, checkpoint or None, **_values(options))
        except ValueError:
            raise ValueError(
                f"model {text!r} is not of the form source:name[@checkpoint][?size=N] "
                f"with a source among {', '.join(SOURCES)}; for instance timm:inception_v3.tf_in1k. "
                "The options are size=N, background=1 and aux=WEIGHT, with & between them"
            ) from None


def _values(options: dict[str, str]) -> dict[str, Any]:
    """Turn the options' texts into what they mean; raise ValueError for any other option or value."""
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name == "size" and text.isdecimal() and int(text) > 0:
            values[name] = int(text)
        elif name == "background" and text in ("0", "1"):
            values[name] = text == "1"
        elif name == "aux" and math.isfinite(float(text)) and float(text) >= 0:
            values[name] = float(text)
        else:
            raise ValueError
    return values
