"""How much memory a process holds."""

import resource
import sys
from pathlib import Path

import torch


def memory_in_use(device: torch.device) -> int:
    """Return the memory that counts on a device, in bytes.

    Returns:
        On CUDA the most that tensors have taken up at a time, on other devices :func:`resident_memory`.
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident_memory()


def resident_memory() -> int:
    """Return the physical memory that this process holds, in bytes; its children's does not count.

    Where the system does not tell (it does on Linux), the most that the process has held so far.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return pages * resource.getpagesize()
