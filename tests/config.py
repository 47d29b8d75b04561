"""What drivers are made from in tests."""

from collections.abc import Mapping
from pathlib import Path

from context_chat_backend.contract import DriverConfig

FASTER_MODEL = {"CC_EM_MODEL": "all-minilm-l6-v2"}
"""Of those that a gateway may have in process; the demo has the other one."""


def config(folder: Path, variables: Mapping[str, str] | None = None) -> DriverConfig:
    """With these variables and no others but the model, whatever the environment of the tests has."""
    return DriverConfig(folder=folder, variables={**FASTER_MODEL, **(variables or {})})
