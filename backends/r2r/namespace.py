"""The secret from which all ids in R2R are made."""

import os
import uuid
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

from context_chat_backend.contract import Misconfigured


def load_namespace(configured: SecretStr | None, folder: Path) -> UUID:
    """The configured one, else the one that is kept in the folder; made there if there is none.

    Raises `Misconfigured` for a damaged file: a new secret would make all that is stored unknown.
    """
    if configured is not None:
        return UUID(configured.get_secret_value())
    file = folder / "namespace"
    if not file.exists():
        _write_durably(file, str(uuid.uuid4()))
    try:
        return UUID(file.read_text("ascii").strip())
    except ValueError:
        raise Misconfigured(f"{file} is damaged: restore it from a backup, or set R2R_NAMESPACE") from None


def _write_durably(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text + "\n")
        opened.flush()
        os.fsync(descriptor)
    draft.replace(file)
