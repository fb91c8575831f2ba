"""Re-reading a generation job's output, to name every fault.

Nothing in the folder is trusted: shards and sidecars may be damaged or made to harm. What is right is what the
shards themselves say; sidecars, manifest and, on request, the input shards must agree with it.
"""

from lit_adv.shards.verify.folder import repair, verify
from lit_adv.shards.verify.report import Fault, Report

__all__ = ["Fault", "Report", "repair", "verify"]
