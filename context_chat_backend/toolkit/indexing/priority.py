"""Work that nobody waits for gives way to questions."""

import os
import sys

NICENESS = 10
"""Beside others that want it, a process gets about a tenth of the CPU time then, and all of it beside none."""


def step_back() -> None:
    """Lower the priority of the calling thread, and of what it starts, for good. Nothing outside of Linux, where the
    whole process would step back."""
    if sys.platform == "linux":
        os.nice(NICENESS)
