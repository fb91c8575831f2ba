"""The YAML files that come with the package, by their names."""

from __future__ import annotations

from pathlib import Path

from lit_adv.errors import MendableError

# Inside an installed package; at the top of a clone.
_FOLDERS = (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")


def find_config(name: str, kind: str) -> str:
    """Return the configuration file that a user means.

    Args:
        name: A file or a URL, or the name of one of the package's files, with or without ``.yaml``.
        kind: The folder below ``configs/`` in which names are looked up: ``generate``, ``evaluate``, ``train``
            or ``zoos``.

    Raises:
        MendableError: If there is neither a file nor a name; the message lists the names.
    """
    # The folder of a run may have the name of its configuration.
    if "://" in name or (Path(name).exists() and not Path(name).is_dir()):
        return name
    folder = next(folder for folder in _FOLDERS if folder.is_dir()) / kind
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if (file := files.get(name.removesuffix(".yaml"))) is None:
        raise MendableError(
            f"there is no file {name}, and no configuration of that name; there are: {', '.join(files)}"
        )
    return str(file)
