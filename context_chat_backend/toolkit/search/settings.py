"""What is looked for."""

from enum import StrEnum

from pydantic import Field

from ..settings import VariableSettings


class SearchBy(StrEnum):
    """How chunks are found."""

    BOTH = "both"
    MEANING = "meaning"
    WORDS = "words"


class SearchSettings(VariableSettings, env_prefix="SEARCH_"):
    """Of backends that the gateway fills itself."""

    by: SearchBy = Field(
        SearchBy.BOTH,
        description="`meaning` or `words` leaves out the other way to find chunks, to measure what each is good for",
    )
