"""The cases of the kit. The first line of a docstring is a promise of the contract, its last paragraph says what to do
if a driver breaks it. The order of the imports is the order in which the groups run."""

from . import (  # isort: skip - isolation first: what leaks is worse than what is missing
    isolation,
    indexing,
    access,
    deletion,
    search,
    capabilities,
    inventory,
    store,
    congruence,
    faults,
    golden,
)
from .base import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "access",
    "capabilities",
    "congruence",
    "deletion",
    "faults",
    "golden",
    "indexing",
    "inventory",
    "isolation",
    "search",
    "store",
]
