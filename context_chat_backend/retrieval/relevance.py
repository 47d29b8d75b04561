"""What is too far from a question to take part in its answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..contract import Hit


@dataclass(frozen=True, slots=True)
class RelevanceBar:
    """What `Hit.relevance` must reach; hits of which a backend does not tell it pass."""

    least: float
    """0 to 1."""
    share: float = 0.0
    """Of that of the best hit, 0 to 1."""

    def passed(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those that may have to do with the question."""
        best = max((hit.relevance for hit in hits if hit.relevance is not None), default=0.0)
        least = max(self.least, self.share * best)
        return [hit for hit in hits if hit.relevance is None or hit.relevance >= least]


FOR_A_MODEL = RelevanceBar(0.03)
"""Low: a model sees by itself what is of no use."""
FOR_PEOPLE = RelevanceBar(0.5, 0.9)
"""Nobody else sorts out what is shown."""
EVERYTHING = RelevanceBar(0)
