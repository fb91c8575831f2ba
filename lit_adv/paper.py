"""The success rates of the paper's Tables 1 to 4, to be put beside one's own (Lin et al., ICLR 2020).

The data file holds every number that could be read; targets and surrogates are called as in the paper.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from lit_adv.attacks import describe_attack, list_attacks

#: The paper's names of its models, by the weights on timm's hub that come closest.
PAPER_NAMES = {
    "timm:inception_v3.tf_in1k": "Inc-v3",
    "timm:inception_v4.tf_in1k": "Inc-v4",
    "timm:inception_resnet_v2.tf_in1k": "IncRes-v2",
    "timm:resnetv2_101.a1h_in1k": "Res-101",
    "timm:inception_resnet_v2.tf_ens_adv_in1k": "IncRes-v2ens",
}
#: The same by the names of the files that slim's networks are published in, as checkpoints and for PyTorch.
_FILES = {
    "inception_v3": "Inc-v3",
    "inception_v4": "Inc-v4",
    "inception_resnet_v2_2016_08_30": "IncRes-v2",
    "inc_res_v2": "IncRes-v2",
    "resnet_v2_101": "Res-101",
    "ens3_adv_inception_v3": "Inc-v3ens3",
    "ens3_adv_inc_v3": "Inc-v3ens3",
    "ens4_adv_inception_v3": "Inc-v3ens4",
    "ens4_adv_inc_v3": "Inc-v3ens4",
    "ens_adv_inception_resnet_v2": "IncRes-v2ens",
    "ens_adv_inc_res_v2": "IncRes-v2ens",
}
#: The models that the paper attacks together.
PAPER_ENSEMBLE = frozenset({"Inc-v3", "Inc-v4", "IncRes-v2", "Res-101"})


def paper_name(spec: str) -> str:
    """Return what the paper calls a model.

    Args:
        spec: The model's spec, or any name.

    Returns:
        The paper's name; the spec itself if the paper has no such model.

    Example:
        >>> paper_name("slim:inception_v3@weights/ens3_adv_inception_v3.ckpt?size=299")
        'Inc-v3ens3'
    """
    model = spec.partition("?")[0]  # what it is called, whatever its options are
    if not model.startswith("slim:"):
        return PAPER_NAMES.get(model, spec)
    file = PurePath(model.partition("@")[2]).name
    stem = file.partition(".")[0].removeprefix("tf2torch_").removesuffix("_rename")
    return _FILES.get(stem, spec)


def paper_success(made_with: Mapping[str, Any], target: str) -> float | None:
    """Look up the paper's success rate for an attack like one's own.

    Args:
        made_with: What made the adversarial images: ``surrogate`` (a mapping from spec to digest), ``attack``,
            ``attack_options``, and of an ensemble ``fusion`` and ``ensemble_weights``, as a manifest records them under
            ``config.model``.
        target: The target's spec, or its name if that is the paper's name of a model or a defense.

    Returns:
        The share of images, in [0, 1]; None if the paper has no such number or used other settings.

    Example:
        >>> options = describe_attack("ti_dim")
        >>> made_with = {"surrogate": {"timm:inception_v3.tf_in1k": "..."}, "attack": "ti_dim"}
        >>> paper_success(made_with | {"attack_options": options}, "timm:inception_v4.tf_in1k")
        0.661
    """
    if not has_paper_settings(made_with):
        return None
    surrogates = sorted(map(paper_name, made_with["surrogate"]))
    surrogate = "ensemble" if surrogates == sorted(PAPER_ENSEMBLE) else " + ".join(surrogates)
    return _results().get((surrogate, made_with["attack"], paper_name(target)))


def has_paper_settings(made_with: Mapping[str, Any], of: Mapping[str, Any] | None = None) -> bool:
    """Tell whether adversarial images were made with the settings of the paper's attack, whatever the models.

    Args:
        made_with: See :func:`paper_success`.
        of: Settings that the named attack's are to be taken with, where the paper says nothing of them.
    """
    attack = made_with["attack"]
    if attack not in list_attacks():
        return False
    paper = describe_attack(attack, **(of or {}))
    alike = paper == {**made_with["attack_options"], "seed": paper["seed"]}
    return alike and (len(made_with["surrogate"]) == 1 or _fused_alike(made_with))


def _fused_alike(made_with: Mapping[str, Any]) -> bool:
    """Tell whether an ensemble is the mean of its members' logits, as in the paper."""
    return made_with.get("fusion") in (None, "logits") and len(set(made_with.get("ensemble_weights") or [1])) == 1


def paper_table(name: str) -> dict[tuple[str, str, str], float]:
    """Return what can be read of one of the paper's tables.

    Args:
        name: Such as ``1a``.

    Returns:
        The shares of images, in [0, 1], by surrogate (or ``ensemble``), attack and target.

    Example:
        >>> paper_table("3")["ensemble", "si_ni_ti_dim", "HGD"]
        0.961
    """
    return {row[1:]: success for row, success in _rows().items() if row[0] == name}


@cache
def _results() -> dict[tuple[str, str, str], float]:
    return {row[1:]: success for row, success in _rows().items()}


@cache
def _rows() -> dict[tuple[str, str, str, str], float]:
    with files("lit_adv").joinpath("paper_results.csv").open(encoding="utf-8") as file:
        return {
            (row["table"], row["surrogate"], row["attack"], row["target"]): round(float(row["success"]) / 100, 4)
            for row in csv.DictReader(file)
        }
