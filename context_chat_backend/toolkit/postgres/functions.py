"""What the SQL functions of `sql/` are called through, whatever the connection."""

from typing import Any, Protocol


class Functions(Protocol):
    """Calls functions of the schema `public` by name."""

    async def call(self, function: str, /, **arguments: object) -> Any:
        """The one value that the function returns, as JSON would give it; None for null and for nothing.

        Arguments are text, numbers, None, lists of text (`text[]`), and dictionaries or lists of them (`jsonb`).
        Raises `DriverError`s only. A call may be repeated inside: every function of `sql/` allows for that.
        """
