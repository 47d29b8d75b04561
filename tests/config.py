"""What drivers are made from in tests."""

from collections.abc import Mapping
from pathlib import Path

from context_chat_backend.contract import DriverConfig


def config(folder: Path, variables: Mapping[str, str] | None = None) -> DriverConfig:
    """With these variables and no others, whatever the environment of the tests has."""
    return DriverConfig(folder=folder, variables=variables or {})
