"""What an operator can tune around a backend. Each backend reads it with its own prefix, e.g. `BUILTIN_ATTEMPTS`."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ..contract import Capabilities
from ..toolkit.settings import VariableSettings

DAY = 86_400


class LayerSettings(VariableSettings):
    """Read with the upper-case name of the backend and an underscore as prefix."""

    max_inflight_upserts: PositiveInt | None = Field(
        None, description="sources that are indexed at the same time; default: as many as the driver says"
    )
    max_wait_seconds: NonNegativeFloat = Field(
        10, description="how long a source waits for a free place before it is given back to be sent again"
    )
    retry_after_seconds: PositiveFloat = Field(10, description="pause that a busy gateway asks for, in seconds")
    health_max_rtt_ms: NonNegativeFloat = Field(
        0, description="no new sources while the smoothed answer time of the backend is above this; 0: off"
    )
    skip_upsert_all_within_secs: NonNegativeInt = Field(
        2 * DAY, description="an identical source seen within this time costs no call to the backend; 0: off"
    )
    skip_upsert_meta_within_secs: NonNegativeInt = Field(
        4 * DAY, description="unchanged content seen within this time costs only an access check; 0: off"
    )
    attempts: PositiveInt = Field(3, description="tries per operation when the backend fails for a passing reason")
    search_timeout: PositiveFloat = Field(30, description="seconds for one try of a search, count or ping")
    answer_timeout: PositiveFloat = Field(300, description="seconds for one try of an answer made by the backend")
    action_timeout: PositiveFloat = Field(600, description="seconds for one try of an access change or a deletion")
    upsert_timeout: PositiveFloat = Field(14400, description="seconds for one try of indexing a source")

    def upserts_at_once(self, capabilities: Capabilities) -> int:
        """What the operator says, else the driver."""
        return self.max_inflight_upserts or capabilities.upserts_at_once
