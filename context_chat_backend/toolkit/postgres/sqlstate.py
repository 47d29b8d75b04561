"""What an error of PostgreSQL means to the gateway."""

from collections.abc import Mapping

from ...contract import Busy, DriverError, Misconfigured, Overtaken, Rejected, Unavailable

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE: Mapping[str, type[DriverError]] = {
    "23505": Busy,  # two writers met; the next attempt sees the other's row
    "57014": Unavailable,  # statement timeout
    "P0002": Overtaken,  # the ticket is void or the staged document gone: something else happened to the source
}
_BY_CLASS: Mapping[str, type[DriverError]] = {
    "08": Unavailable,  # connection
    "0A": Misconfigured,  # version, dimension, model
    "22": Rejected,  # data
    "25": Unavailable,  # read only, while a replica takes over
    "28": Misconfigured,  # authorization
    "3D": Misconfigured,  # no such database
    "3F": Misconfigured,  # no such schema
    "40": Busy,  # serialization, deadlock
    "42": Misconfigured,  # privileges, missing table or function
    "53": Busy,  # connections, memory, disk
    "54": Rejected,  # program limits, as the length of an index entry
    "55": Busy,  # locks
    "57": Unavailable,  # shutdown, recovery
    "58": Unavailable,  # I/O
    "XX": Unavailable,  # internal
}


def error_for(sqlstate: str) -> type[DriverError] | None:
    """The error to raise for a five-character SQLSTATE; None for those that only a bug can cause."""
    return _BY_STATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2])
