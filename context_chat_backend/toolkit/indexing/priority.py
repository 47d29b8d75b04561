"""Work that nobody waits for gives way to questions; what makes documents better, to what makes them found at all."""

import os
import sys

NICENESS = 10
"""Of what reads documents. Beside others that want it, a process gets about a tenth of the CPU time then, and all of it
beside none."""
EMBEDDING_NICENESS = 15
"""Of what embeds them: about a third of that. A document is found by its words without."""


def step_back(niceness: int = NICENESS) -> None:
    """Lower the priority of the calling thread, and of what it starts, for good. Nothing outside of Linux, where the
    whole process would step back."""
    if sys.platform == "linux":
        os.nice(niceness)
