"""How a model is named: ``source:name[@checkpoint][?size=N]``."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

SOURCES = ("timm", "wheel", "import")


@dataclass(frozen=True)
class ModelSpec:
    """A model's name, taken apart.

    Attributes:
        source: One of :data:`SOURCES`.
        name: The model's name within its source.
        checkpoint: A local weights file; None for the source's own weights.
        size: Side that every image is resized to before the model sees it; None for no resizing.
    """

    source: str
    name: str
    checkpoint: str | None = None
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """Take a spec apart.

        Args:
            text: For instance ``timm:inception_v3.tf_in1k``, ``timm:resnet50@best.safetensors?size=224``,
                ``wheel:efficientnet_lite0`` or ``import:my_package.models:build``.

        Returns:
            The parts.

        Raises:
            ValueError: If the text is not of that form.

        Example:
            >>> ModelSpec.parse("timm:resnet50@best.safetensors?size=256")
            ModelSpec(source='timm', name='resnet50', checkpoint='best.safetensors', size=256)
        """
        body, _, query = text.partition("?")
        source, _, rest = body.partition(":")
        name, _, checkpoint = rest.partition("@")
        options = dict(parse_qsl(query))
        size = options.pop("size", None)
        if source not in SOURCES or not name or options or (size is not None and not size.isdecimal()):
            raise ValueError(
                f"model {text!r} is not of the form source:name[@checkpoint][?size=N] "
                f"with a source among {', '.join(SOURCES)}; for instance timm:inception_v3.tf_in1k"
            )
        return cls(source, name, checkpoint or None, None if size is None else int(size))
