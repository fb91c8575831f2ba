"""From what an evaluation has in hand at its end to its page."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from lit_adv import __version__
from lit_adv.outcomes import Outcomes
from lit_adv.pages.evaluation import Evaluation, WhatRan
from lit_adv.pages.gallery import Pictures, choose
from lit_adv.pages.kept_gallery import keep_pictures
from lit_adv.pictures import imagenet_name
from lit_adv.report import Cell
from lit_adv.shards import storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.manifest import MANIFEST_FILE
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import software_versions

_CONFIG = "config.yaml"


def collect_evaluation(
    cells: Sequence[Cell],
    outcomes: Sequence[Outcomes],
    attacks: Mapping[str, AttackedFolder],
    weights: Mapping[str, frozenset[str]],
    *,
    path: str,
    reference: bool,
    gallery: int,
    seen: Mapping[str, Pictures],
) -> Evaluation:
    """Gather all that the page of an evaluation shows.

    Args:
        cells: What each attack achieves against each target.
        outcomes: What the targets made of each image, one part for each attack and shard.
        attacks: The folders of shards, from which the gallery's images are read that are not known.
        weights: The digests of each target's weights, by its name.
        path: The folder for the results, in which the gallery's pictures are kept.
        reference: Whether the paper's numbers are shown from the start.
        gallery: How many images are shown.
        seen: Pictures that are known, see :class:`lit_adv.pages.kept_gallery.PassingPictures`.

    Raises:
        DamagedShardsError: If an image of the gallery cannot be read any more.
    """
    chosen = choose(outcomes, gallery)
    return Evaluation(
        cells=cells,
        outcomes=outcomes,
        gallery=list(zip(chosen, keep_pictures(chosen, attacks, path, seen), strict=True)),
        classes=_class_names(attacks),
        methods={name: _method(folder.config["model"]) for name, folder in attacks.items()},
        reference=reference,
        what_ran=_what_ran(attacks, weights, path),
    )


def _class_names(attacks: Mapping[str, AttackedFolder]) -> dict[int, str]:
    """Return ImageNet's names of its classes, in a word or two, if there are as many classes; else nothing."""
    if any(folder.config["data"]["num_classes"] != 1000 for folder in attacks.values()):
        return {}
    return {label: f"{imagenet_name(label)} ({label})" for label in range(1000)}


def _method(made_with: Mapping[str, Any]) -> str:
    """Return what an attack is without its budget, by the settings that differ between attacks."""
    options = {name: value for name, value in made_with["attack_options"].items() if name not in ("eps", "alpha")}
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:4]
    return f"{made_with['attack']}-{digest} on {' + '.join(made_with['surrogate'])}"


def _what_ran(attacks: Mapping[str, AttackedFolder], weights: Mapping[str, frozenset[str]], path: str) -> WhatRan:
    checksums: dict[str, str] = {}
    for name, folder in attacks.items():
        manifest = storage.read_bytes([storage.join(folder.path, MANIFEST_FILE)])[0]
        checksums[f"{MANIFEST_FILE} of {name}"] = hashlib.sha256(manifest).hexdigest()
        for spec, digest in folder.config["model"]["surrogate"].items():
            checksums[f"weights of the surrogate {spec}"] = digest
    for target, digests in weights.items():
        checksums[f"weights of {target}"] = " ".join(sorted(digests))
    return WhatRan(
        configuration=_configuration(path),
        versions={"lit_adv": __version__, "timm": version("timm")} | software_versions(),
        checksums=checksums,
        commands=list(_commands(attacks, path)),
    )


def _configuration(path: str) -> str:
    if _CONFIG not in storage.list_names(path):
        return ""
    return storage.read_bytes([storage.join(path, _CONFIG)])[0].decode()


def _commands(attacks: Mapping[str, AttackedFolder], path: str) -> Iterator[str]:
    for command, folder in [*(("generate", folder.path) for folder in attacks.values()), ("test", path)]:
        if _CONFIG in storage.list_names(folder):
            yield f"lit-adv {command} --config {shlex.quote(redact(storage.join(folder, _CONFIG)))}"
