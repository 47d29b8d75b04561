"""Settings of the builtin backend, from the environment."""

from typing import Self

from pydantic import AliasChoices, Field, NonNegativeFloat, PositiveInt, model_validator

from context_chat_backend.toolkit.postgres.settings import DatabaseUrl
from context_chat_backend.toolkit.settings import VariableSettings


class BuiltinSettings(VariableSettings):
    """Where the builtin backend keeps its documents. Without a URL it runs a PostgreSQL of its own."""

    db_url: DatabaseUrl | None = Field(
        default=None,
        validation_alias=AliasChoices("CCB_DB_URL", "EXTERNAL_DB"),
        description="URL of a PostgreSQL 15 or later with pgvector 0.8 or later, also in SQLAlchemy's form "
        "(`postgresql+psycopg://…`). Empty: an embedded PostgreSQL under the persistent storage.",
    )
    db_read_url: DatabaseUrl | None = Field(
        default=None,
        validation_alias="CCB_DB_READ_URL",
        description="URL of a read replica of that database (or of what stands before several) for searches. What it "
        "finds is checked in the database of `CCB_DB_URL`, so one that is behind shows nobody what they may not read.",
    )
    pool_size: PositiveInt = Field(
        default=8,
        validation_alias="BUILTIN_POOL_SIZE",
        description="Largest number of connections to the database that one gateway opens.",
    )
    prepare: bool = Field(
        default=True,
        validation_alias="BUILTIN_PREPARE",
        description="False for poolers that share a connection between transactions (PgBouncer, port 6543 of "
        "Supabase): no prepared statements and no session settings.",
    )
    statement_timeout: NonNegativeFloat = Field(
        default=60.0,
        validation_alias="BUILTIN_STATEMENT_TIMEOUT",
        description="Seconds after which the database cancels a statement; 0 for no limit. Not set if BUILTIN_PREPARE "
        "is false.",
    )

    @model_validator(mode="after")
    def _replica_of_something(self) -> Self:
        if self.db_read_url is not None and self.db_url is None:
            raise ValueError("CCB_DB_READ_URL needs CCB_DB_URL, the database that it is a replica of")
        return self
