"""The cases of the kit. The first line of a docstring is a promise of the contract, its last paragraph says what to do
if a driver breaks it. The order of the imports is the order in which the groups run."""

from . import (  # noqa: F401 # isort: skip - isolation first: a leak is worse than a gap
    isolation,
    indexing,
    replacing,
    access,
    deletion,
    search,
    capabilities,
    inventory,
    store_search,
    store_write,
    congruence,
    faults,
    golden,
)
from .base import CASES, Case

__all__ = ["CASES", "Case"]
