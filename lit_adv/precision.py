"""Which floating-point precision is fast on a machine."""

from __future__ import annotations

from pathlib import Path

import torch

# Processors without these compute in bfloat16 by detours: 13 to 20 times slower than in float32 was seen.
_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def fast_precision(device_type: str) -> str:
    """Return the Trainer's ``precision`` that is fastest on a kind of device of this machine and good enough to attack.

    Args:
        device_type: ``cpu``, ``cuda``, ...

    Returns:
        ``bf16-mixed`` where bfloat16 is built in, else ``32-true``.
    """
    if device_type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device_type == "cpu":
        fast = not _FAST_BFLOAT16.isdisjoint(_cpu_flags())
    else:
        fast = False
    return "bf16-mixed" if fast else "32-true"


def _cpu_flags() -> set[str]:
    """Return what the system says that the processor can do; nothing where it does not tell (it does on Linux)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    fields = (line.partition(":") for line in lines)
    return {
        flag for name, _, value in fields if name.strip().lower() in ("flags", "features") for flag in value.split()
    }
