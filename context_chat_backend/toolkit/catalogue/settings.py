"""Where the catalogue of a store is."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..postgres.settings import DatabaseUrl


class CatalogueSettings(BaseSettings):
    """Read with the prefix of the backend."""

    # A validation error would else print the URL with its password.
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True, extra="ignore")

    catalogue_url: DatabaseUrl | None = Field(
        default=None,
        description="URL of a PostgreSQL 15 or later for the catalogue, a database of its own. Empty: an embedded "
        "PostgreSQL under the persistent storage.",
    )
