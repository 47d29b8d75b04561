"""A model in a folder of the admin, as sentence-transformers and optimum write it; docs/operations.md has the files."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, ValidationError
from tokenizers import Tokenizer

from context_chat_backend.contract import Misconfigured

from .model import LocalModel, Pooling, sha256, whole

GRAPHS = ("onnx/model.onnx", "model.onnx")
DEFAULT_TOKENS = 512
ENDLESS = 1_000_000
"""Tokenizers without a limit say a number far above."""
KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
KNOWN = ", ".join(sorted(KNOWN_MODULES))
DEFAULT_POOLING = "1_Pooling"
NAME_DIGITS = 16
QUERY_PROMPTS = ("query",)
PASSAGE_PROMPTS = ("document", "passage", "corpus")
"""Their order is that of sentence-transformers."""

MODES = {
    "mean": Pooling.MEAN,
    "mean_tokens": Pooling.MEAN,
    "mean_sqrt_len_tokens": Pooling.MEAN,  # differs by a factor only
    "cls": Pooling.CLS,
    "cls_token": Pooling.CLS,
    "max": Pooling.MAX,
    "max_tokens": Pooling.MAX,
    "lasttoken": Pooling.LAST,
}

T = TypeVar("T")


class _Module(BaseModel):
    path: str
    type: str


class _Pooling(BaseModel):
    """Up to version 5 of sentence-transformers a flag for each mode, later its name."""

    model_config = ConfigDict(extra="allow")

    pooling_mode: str | None = None
    include_prompt: bool = True

    def modes(self) -> list[str]:
        if self.pooling_mode is not None:
            return [self.pooling_mode]
        flags = self.__pydantic_extra__ or {}
        return [
            name.removeprefix("pooling_mode_") for name, value in flags.items() if value is True and "_mode_" in name
        ]


class _Limits(BaseModel):
    max_seq_length: PositiveInt | None = None
    do_lower_case: bool = False


class _TokenizerLimits(BaseModel):
    model_max_length: float | None = None


class _Prompts(BaseModel):
    prompts: dict[str, str] = {}
    default_prompt_name: str | None = None

    def first(self, names: tuple[str, ...]) -> str:
        found = (self.prompts[name] for name in (*names, self.default_prompt_name) if name in self.prompts)
        return next(found, "")


def model_in(folder: Path) -> LocalModel:
    """The model in a folder. Reads all of its files. Raises `Misconfigured`, which names the file and the field."""
    graph = graph_in(folder, "CC_EM_MODEL_PATH")
    prompts = _read(folder / "config_sentence_transformers.json", _Prompts) or _Prompts()
    tokenizer, limit = read_tokenizer(folder / "tokenizer.json")
    described = LocalModel(
        name="",
        graph=graph,
        weights=graph.parent,
        tokenizer=lambda: tokenizer,
        max_tokens=read_max_tokens(folder, limit),
        pooling=_pooling(folder, prompted=any(prompts.prompts.values())),
        query_prefix=prompts.first(QUERY_PROMPTS),
        passage_prefix=prompts.first(PASSAGE_PROMPTS),
    )
    return replace(described, name=f"onnx-{_digest(folder, described)}")


def graph_in(folder: Path, variable: str) -> Path:
    """The graph of the model in a folder, which `variable` names. Raises `Misconfigured`."""
    graph = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
    if graph is None:
        raise Misconfigured(f"{variable}: neither {GRAPHS[0]} nor {GRAPHS[1]} is in {folder}")
    return graph


def read_tokenizer(path: Path) -> tuple[Tokenizer, int | None]:
    """The tokenizer, and how many tokens it was made to leave. Raises `Misconfigured`."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # the library raises nothing more specific
        raise Misconfigured(f"{path}: {exc}") from exc
    limit = tokenizer.truncation["max_length"] if tokenizer.truncation else None
    return whole(tokenizer), limit


def read_max_tokens(folder: Path, tokenizer_limit: int | None) -> int:
    """How many tokens the model reads, special ones included. Raises `Misconfigured`."""
    path = folder / "sentence_bert_config.json"
    limits = _read(path, _Limits) or _Limits()
    if limits.do_lower_case:
        raise Misconfigured(f"{path}: do_lower_case: only tokenizers that do it themselves can be used")
    declared = _read(folder / "tokenizer_config.json", _TokenizerLimits)
    if (number := limits.max_seq_length or tokenizer_limit) is not None:
        return number
    if declared is not None and declared.model_max_length is not None and declared.model_max_length < ENDLESS:
        return int(declared.model_max_length)
    return DEFAULT_TOKENS


def _pooling(folder: Path, *, prompted: bool) -> Pooling:
    path = folder / "modules.json"
    modules = _read(path, list[_Module]) or []
    kinds = {module.type.rpartition(".")[2]: module for module in modules}
    if unknown := kinds.keys() - KNOWN_MODULES:
        raise Misconfigured(f"{path}: type: {', '.join(sorted(unknown))} cannot be computed, only {KNOWN}")
    place = kinds["Pooling"].path if "Pooling" in kinds else DEFAULT_POOLING
    path = folder / place / "config.json"
    config = _read(path, _Pooling)
    if config is None:
        return Pooling.MEAN
    if prompted and not config.include_prompt:
        raise Misconfigured(f"{path}: include_prompt: prompts cannot be left out of the pooling")
    modes = config.modes()
    if len(modes) != 1 or modes[0] not in MODES:
        raise Misconfigured(f"{path}: pooling_mode: {modes or 'none'} cannot be computed, only one of {sorted(MODES)}")
    return MODES[modes[0]]


def _read(path: Path, shape: type[T]) -> T | None:
    """The content of a file of JSON; None without the file."""
    try:
        return TypeAdapter(shape).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Misconfigured(f"{path}: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise Misconfigured(f"{path}: {field + ': ' if field else ''}{first['msg']}") from None


def _digest(folder: Path, model: LocalModel) -> str:
    """Of all that decides about a vector; the place of the files is not part of it."""
    files = [*sorted(model.graph.parent.glob(f"{model.graph.name}*")), folder / "tokenizer.json"]
    try:
        digests = [sha256(path) for path in files if path.is_file()]
    except OSError as exc:
        raise Misconfigured(f"CC_EM_MODEL_PATH: {exc}") from exc
    settings = [model.max_tokens, model.pooling.value, model.query_prefix, model.passage_prefix]
    return hashlib.sha256(json.dumps([digests, settings]).encode()).hexdigest()[:NAME_DIGITS]
