"""A zoo: which models stand where the paper has its seven, and which defenses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lit_adv.errors import MendableError
from lit_adv.shards.job import digest
from lit_adv.shards.storage import sha256
from lit_adv.tf_checkpoint import checkpoint_files


class WeightsFile(NamedTuple):
    """A file, or a folder, of weights: the names by which it is known, and where it comes from."""

    names: list[str]
    source: str


@dataclass(frozen=True)
class Zoo:
    """The models of the tables.

    Attributes:
        image_size: Side of the images, in pixels.
        models: Specs by the names that the tables show.
        surrogates: The models that are attacked alone; Table 4 and Figure 2 attack the first.
        ensemble: The models that are attacked together.
        targets: The models that Tables 1, 2 and 4 show images to, and that choose the images.
        alone: Specs of surrogates that an attack on them alone is to see in place of the model's.
        together: The same for attacks on the ensemble.
        defenses: Table 3's, by the names that it shows: each a target of ``lit-adv test``, in which a model may go by
            its name here.
        attack_options: Settings of attacks, by their names, that differ from the paper's.
        iterations: The numbers of iterations in Figure 2.
        files: Weights that specs name in braces, to be found in the folder of weights.
        optional: Defenses that are left out where their weights are missing.
    """

    image_size: int
    models: dict[str, str]
    surrogates: list[str]
    ensemble: list[str]
    targets: list[str]
    alone: dict[str, str]
    together: dict[str, str]
    defenses: dict[str, dict[str, Any]]
    attack_options: dict[str, dict[str, Any]]
    iterations: list[int]
    files: dict[str, WeightsFile]
    optional: list[str]

    def described(self, name: str) -> dict[str, Any]:
        """Return a model or a defense as a target of ``lit-adv test``."""
        return {"name": name, **(self.defenses[name] if name in self.defenses else {"model": self.models[name]})}


_DEFAULTS: dict[str, Any] = {
    "alone": {},
    "together": {},
    "attack_options": {},
    "iterations": [4, 6, 8, 10, 12, 14, 16],
    "files": {},
    "optional": [],
}


def read_zoo(file: str) -> Zoo:
    """Read a zoo's YAML file.

    Raises:
        MendableError: If the file is not of that form; the message names the entry.
    """
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise MendableError(f"{file} is no YAML file: {error}") from error
    known = [field.name for field in fields(Zoo)]
    content = _DEFAULTS | content if isinstance(content, dict) else {}
    if missing := [name for name in known if name not in content]:
        raise MendableError(f"the zoo {file} says nothing of {', '.join(missing)}; a zoo has {', '.join(known)}")
    if unknown := [name for name in content if name not in known]:
        raise MendableError(f"the zoo {file} has no entry {unknown[0]!r}; a zoo has {', '.join(known)}")
    try:
        content["files"] = {name: WeightsFile(**about) for name, about in content["files"].items()}
        zoo = Zoo(**content)
        _check(zoo)
    except (AttributeError, TypeError, ValueError) as error:
        raise MendableError(f"the zoo {file}: {error}") from error
    return zoo


def find_weights(zoo: Zoo, folder: str | None, defended: bool = True) -> tuple[Zoo, dict[str, str], dict[str, str]]:
    """Put the paths of weights into the specs.

    Args:
        zoo: The zoo as its file has it.
        folder: The folder of weights; they may lie in folders in it.
        defended: Whether the defenses' weights are needed.

    Returns:
        The zoo, the weights' SHA-256 by their paths, and what each defense lacks that is left out.

    Raises:
        MendableError: If weights are missing: all of them, each with where it comes from.
        FileNotFoundError: If a TensorFlow checkpoint lacks one of its files.
    """
    found = {name: path for name, file in zoo.files.items() if (path := _find(file, folder)) is not None}
    if not defended:
        zoo = replace(zoo, defenses={}, optional=[])
    needs = {name: _placeholders(value, zoo) for name, value in {**zoo.models, **zoo.defenses}.items()}
    left_out = {
        name: f"{zoo.files[lacking[0]].names[0]} ({zoo.files[lacking[0]].source})"
        for name in zoo.optional
        if (lacking := [file for file in needs[name] if file not in found])
    }
    needed = dict.fromkeys(file for name, files in needs.items() if name not in left_out for file in files)
    if missing := [file for file in needed if file not in found]:
        lines = [f"  {' or '.join(zoo.files[name].names)}\n      from {zoo.files[name].source}" for name in missing]
        where = "no folder is named: --weights FOLDER" if folder is None else f"{folder} lacks them"
        raise MendableError(f"{len(missing)} files of weights are missing ({where}):\n" + "\n".join(lines))
    paths = {f"{{{name}}}": str(path) for name, path in found.items()}
    models = {name: _fill_in(spec, paths) for name, spec in zoo.models.items()}
    defenses = {
        name: _fill_in(_resolve(settings, models), paths)
        for name, settings in zoo.defenses.items()
        if name not in left_out
    }
    others = [file for spec in [*zoo.alone.values(), *zoo.together.values()] for file in _placeholders(spec, zoo)]
    digests = {str(found[name]): _sha256(found[name]) for name in {*needed, *others} & found.keys()}
    alone, together = _fill_in(zoo.alone, paths), _fill_in(zoo.together, paths)
    return replace(zoo, models=models, alone=alone, together=together, defenses=defenses), digests, left_out


def _check(zoo: Zoo) -> None:
    """Make sure that the lists name models, and specs files, that there are."""
    for group in ("surrogates", "ensemble", "targets"):
        names = getattr(zoo, group)
        if not names or not isinstance(names, Sequence) or isinstance(names, str):
            raise ValueError(f"{group} must be a list of one or more models, not {names!r}")
        if unknown := [name for name in names if name not in zoo.models]:
            raise ValueError(f"{group} names {unknown[0]!r}, which is not among its models ({', '.join(zoo.models)})")
    if unknown := [name for name in [*zoo.alone, *zoo.together] if name not in zoo.models]:
        raise ValueError(
            f"alone or together names {unknown[0]!r}, which is not among its models ({', '.join(zoo.models)})"
        )
    if clash := [name for name in zoo.defenses if name in zoo.models]:
        raise ValueError(f"{clash[0]!r} is the name of a model and of a defense")
    if unknown := [name for name in zoo.optional if name not in zoo.defenses]:
        raise ValueError(f"optional names {unknown[0]!r}, which is not among its defenses ({', '.join(zoo.defenses)})")
    if odd := [name for name in [*zoo.models, *zoo.defenses] if "/" in name or name.startswith(".")]:
        raise ValueError(f"the name {odd[0]!r} must not hold a slash or begin with a dot: it also names folders")


def _find(file: WeightsFile, folder: str | None) -> Path | None:
    if folder is None:
        return None
    paths = (path for name in file.names for pattern in (name, f"*/{name}") for path in Path(folder).glob(pattern))
    return next(paths, None)


def _sha256(path: Path) -> str:
    """Digest weights: a file, all files of a TensorFlow checkpoint, or those of a folder.

    Sizes would not do, for all weights of one network have the same.
    """
    files = sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else checkpoint_files(path)
    digests = []
    for file in files:
        with file.open("rb") as content:
            digests.append(sha256(content))
    return digests[0] if len(digests) == 1 else digest({"files": digests})


def _placeholders(value: Any, zoo: Zoo) -> list[str]:
    """Return the files that a spec or a defense needs, by their names in the zoo."""
    if isinstance(value, str):
        inner = zoo.models.get(value, value)
        return [name for name in zoo.files if f"{{{name}}}" in inner]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return [name for part in parts for name in _placeholders(part, zoo)]


def _resolve(value: Any, models: Mapping[str, str]) -> Any:
    """Put specs in the place of the zoo's names of models."""
    if isinstance(value, Mapping):
        return {
            key: models.get(part, part) if key == "model" else _resolve(part, models) for key, part in value.items()
        }
    return [_resolve(part, models) for part in value] if isinstance(value, list) else value


def _fill_in(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for placeholder, path in paths.items():
            value = value.replace(placeholder, path)
        return value
    if isinstance(value, Mapping):
        return {key: _fill_in(part, paths) for key, part in value.items()}
    return [_fill_in(part, paths) for part in value] if isinstance(value, list) else value
