"""How much room texts take in a prompt."""

from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from ..contract import Misconfigured

BYTES_PER_TOKEN = 3
"""Low on purpose: English has about 4 bytes per token, CJK about 3, so that the estimate is rarely too small."""


class Tokens(Protocol):
    """Counts as a language model does, or nearly so."""

    def count(self, text: str) -> int:
        """Without special tokens."""

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text, at most this many tokens."""


class EstimatedTokens:
    """An upper estimate for the usual language models."""

    def count(self, text: str) -> int:
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)

    def cut(self, text: str, tokens: int) -> str:
        return text.encode("utf-8", "replace")[: tokens * BYTES_PER_TOKEN].decode("utf-8", "ignore")


class ModelTokens:
    """Those of a model whose `tokenizer.json` is at hand."""

    def __init__(self, path: Path) -> None:
        """Raises `Misconfigured`."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises nothing more precise
            raise Misconfigured(f"CC_LLM_TOKENIZER: {path} is no tokenizer.json: {error}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        return len(self._offsets(text))

    def cut(self, text: str, tokens: int) -> str:
        offsets = self._offsets(text)
        return text if len(offsets) <= tokens else text[: offsets[tokens][0]].rstrip()

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        storable = text.encode("utf-8", "replace").decode()
        return self._tokenizer.encode(storable, add_special_tokens=False).offsets
