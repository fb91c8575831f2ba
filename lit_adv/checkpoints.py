"""Weights in files, read and written without ever executing what a file holds."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

#: What wrappers put before the names: DataParallel, alone or behind a layer that normalizes and holds no weights.
_WRAPPERS = re.compile(r"^(?:1\.)?module\.")


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read weights.

    Args:
        path: A safetensors file, or a torch file of tensors (optionally under ``state_dict`` or ``model``, beside plain
            values that a training script keeps).

    Returns:
        The state dict, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no such checkpoint.
    """
    path = _existing(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # A script's arguments are plain values; published denoisers have them beside their weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("state_dict", "model"):
            content = content.get(wrapper, content)
        return {_WRAPPERS.sub("", name): tensor for name, tensor in content.items()}
    except Exception as error:
        raise ValueError(
            f"{path} is neither a safetensors file nor a torch file of plain tensors ({error}); "
            "save it with safetensors.torch.save_file(model.state_dict(), ...)"
        ) from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read what a safetensors file says of itself.

    Args:
        path: A checkpoint.

    Returns:
        The metadata; empty for a torch file, which has none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it ends in ``.safetensors`` but is no such file.
    """
    path = _existing(path)
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def to_safetensors(module: nn.Module, metadata: Mapping[str, str]) -> bytes:
    """Return a module's weights as the content of a safetensors file.

    Args:
        module: Any module; weights that it uses in several places are written in each.
        metadata: What the file is to say of itself.

    Returns:
        The file's bytes.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    content: bytes = save(state, dict(metadata))
    return content


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    return path
