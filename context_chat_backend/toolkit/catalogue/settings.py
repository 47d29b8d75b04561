"""Where the catalogue of a store is."""

from pydantic import Field

from ..postgres.settings import DatabaseUrl
from ..settings import VariableSettings


class CatalogueSettings(VariableSettings):
    """Read with the prefix of the backend."""

    catalogue_url: DatabaseUrl | None = Field(
        default=None,
        description="URL of a PostgreSQL 15 or later for the catalogue, a database of its own. Empty: an embedded "
        "PostgreSQL under the persistent storage.",
    )
