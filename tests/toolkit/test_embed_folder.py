"""Models in folders: tiny ones, made here in the layout of sentence-transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from context_chat_backend.contract import Misconfigured
from context_chat_backend.toolkit.indexing.embed import EmbedSettings, make_embedder
from context_chat_backend.toolkit.indexing.embed.folder import model_in
from context_chat_backend.toolkit.indexing.embed.model import Pooling
from context_chat_backend.toolkit.settings import read_settings

pytestmark = pytest.mark.anyio

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "passage", ":", "whale", "tea", "salt"]
TABLE = np.random.default_rng(7).standard_normal((len(WORDS), 5)).astype(np.float32)
"""The vector of each token, whatever stands around it."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def write_graph(
    path: Path, *, inputs: Sequence[str] = INPUTS, output: str = "last_hidden_state", external: bool = False
) -> None:
    """Looks up the tokens; with the output `sentence_embedding` it takes the largest of each number itself."""
    sentences = output == "sentence_embedding"
    tokens = "tokens" if sentences else output
    nodes = [helper.make_node("Gather", ["table", "input_ids"], [tokens])]
    initializers = [numpy_helper.from_array(TABLE, "table")]
    if sentences:
        initializers.append(numpy_helper.from_array(np.array([1], np.int64), "axes"))
        nodes.append(helper.make_node("ReduceMax", [tokens, "axes"], [output], keepdims=0))
    shape: list[str | int | None] = ["batch", 5] if sentences else ["batch", "sequence", 5]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=external, location="model.onnx_data", size_threshold=0)


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=20)  # as many published ones do
    tokenizer.enable_truncation(20)
    tokenizer.save(str(folder / "tokenizer.json"))


def modules(*kinds: str, pooling: str = "1_Pooling") -> list[dict[str, Any]]:
    paths = {"Transformer": "", "Pooling": pooling, "Normalize": "2_Normalize"}
    return [
        {"idx": i, "name": str(i), "path": paths.get(kind, kind), "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]


PROMPTS = {"prompts": {"query": "query: ", "document": "passage: "}, "default_prompt_name": None}


def write(folder: Path, files: Mapping[str, Any] | None = None, **graph: Any) -> Path:
    """A model with mean pooling, without prompts; `files` are written as JSON."""
    write_graph(folder / "onnx" / "model.onnx", **graph)
    write_tokenizer(folder)
    for name, content in (files or {}).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def expected(words: Sequence[str], pooling: Pooling = Pooling.MEAN) -> np.ndarray:
    rows = TABLE[[2, *(WORDS.index(word) for word in words), 3]]
    match pooling:
        case Pooling.MEAN:
            vector = rows.mean(axis=0)
        case Pooling.MAX:
            vector = rows.max(axis=0)
        case Pooling.CLS:
            vector = rows[0]
        case Pooling.LAST:
            vector = rows[-1]
    return np.asarray(vector / np.linalg.norm(vector))


async def vectors(folder: Path, texts: Sequence[str] = ("whale tea", "salt")) -> np.ndarray:
    async with make_embedder(EmbedSettings(model_path=folder, threads=1)) as embedder:
        return await embedder.embed(texts)


@pytest.mark.parametrize("mode", ["mean_tokens", "cls_token", "max_tokens", "lasttoken", "mean_sqrt_len_tokens"])
async def test_the_pooling_is_that_of_its_config(tmp_path: Path, mode: str) -> None:
    flags = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens", mode)}
    files = {"modules.json": modules("Transformer", "Pooling"), "1_Pooling/config.json": flags}
    pooling = {"mean_tokens": Pooling.MEAN, "cls_token": Pooling.CLS, "max_tokens": Pooling.MAX}.get(
        mode, Pooling.LAST if mode == "lasttoken" else Pooling.MEAN
    )
    got = await vectors(write(tmp_path, files))
    np.testing.assert_allclose(got, [expected(["whale", "tea"], pooling), expected(["salt"], pooling)], atol=1e-6)


async def test_a_named_pooling_in_another_folder(tmp_path: Path) -> None:
    files = {
        "modules.json": modules("Transformer", "Pooling", "Normalize", pooling="pool"),
        "pool/config.json": {"embedding_dimension": 5, "pooling_mode": "cls"},
        "1_Pooling/config.json": {"pooling_mode": "max"},
    }
    assert model_in(write(tmp_path, files)).pooling is Pooling.CLS


@pytest.mark.parametrize("output", ["last_hidden_state", "token_embeddings"])
@pytest.mark.parametrize("inputs", [INPUTS, INPUTS[:2]], ids=["with types", "without"])
async def test_without_any_config_tokens_are_averaged(tmp_path: Path, output: str, inputs: Sequence[str]) -> None:
    got = await vectors(write(tmp_path, output=output, inputs=inputs))
    np.testing.assert_allclose(got, [expected(["whale", "tea"]), expected(["salt"])], atol=1e-6)


async def test_vectors_of_sentences_are_taken_as_they_are(tmp_path: Path) -> None:
    (got,) = await vectors(write(tmp_path, output="sentence_embedding"), ["whale tea"])
    np.testing.assert_allclose(got, expected(["whale", "tea"], Pooling.MAX), atol=1e-6)


async def test_a_graph_in_the_folder_itself_with_its_weights_beside_it(tmp_path: Path) -> None:
    write_graph(tmp_path / "model.onnx", external=True)
    write_tokenizer(tmp_path)
    assert (tmp_path / "model.onnx_data").stat().st_size == TABLE.nbytes
    (got,) = await vectors(tmp_path, ["tea"])
    np.testing.assert_allclose(got, expected(["tea"]), atol=1e-6)


async def test_questions_and_passages_get_their_prompts(tmp_path: Path) -> None:
    folder = write(tmp_path, {"config_sentence_transformers.json": PROMPTS})
    async with make_embedder(EmbedSettings(model_path=folder, threads=1)) as embedder:
        np.testing.assert_allclose(await embedder.embed_query("tea"), expected(["query", ":", "tea"]), atol=1e-6)
        (passage,) = await embedder.embed(["tea"])
        assert embedder.max_tokens == 20 - len(["[CLS]", "passage", ":", "[SEP]"])
        assert embedder.dimension == 5
        tokenizer = embedder.tokenizer
    np.testing.assert_allclose(passage, expected(["passage", ":", "tea"]), atol=1e-6)
    assert tokenizer is not None
    assert len(tokenizer.encode("tea " * 30).ids) == 32, "it neither cuts nor pads"


@pytest.mark.parametrize(
    ("prompts", "query", "passage"),
    [
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, "query: ", "passage: "),
        ({"prompts": {"query": "query: ", "document": ""}}, "query: ", ""),
        ({"prompts": {"all": "tea "}, "default_prompt_name": "all"}, "tea ", "tea "),
        ({"prompts": {}}, "", ""),
    ],
)
def test_which_prompts_are_used(tmp_path: Path, prompts: Any, query: str, passage: str) -> None:
    model = model_in(write(tmp_path, {"config_sentence_transformers.json": prompts}))
    assert (model.query_prefix, model.passage_prefix) == (query, passage)


@pytest.mark.parametrize(
    ("files", "tokens"),
    [
        ({"sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False}}, 12),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, 20),
        ({}, 20),
    ],
)
def test_how_many_tokens_are_read(tmp_path: Path, files: Mapping[str, Any], tokens: int) -> None:
    assert model_in(write(tmp_path, files)).max_tokens == tokens


@pytest.mark.parametrize(("declared", "tokens"), [(64, 64), (1e30, 512)])
def test_a_tokenizer_that_cuts_nothing_may_declare_a_limit(tmp_path: Path, declared: float, tokens: int) -> None:
    folder = write(tmp_path, {"tokenizer_config.json": {"model_max_length": declared}})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    assert model_in(folder).max_tokens == tokens


def test_the_name_is_that_of_the_content(tmp_path: Path) -> None:
    pooling = {"1_Pooling/config.json": {"pooling_mode": "cls"}}
    prompts = {"config_sentence_transformers.json": PROMPTS}
    variants: dict[str, dict[str, Any]] = {
        "a": {},
        "pooling": {"files": pooling},
        "prompts": {"files": prompts},
        "graph": {"inputs": INPUTS[:2]},
        "tokens": {"files": {"sentence_bert_config.json": {"max_seq_length": 12}}},
    }
    names = {key: model_in(write(tmp_path / key, **options)).name for key, options in variants.items()}
    assert len(set(names.values())) == len(variants)
    assert model_in(write(tmp_path / "elsewhere")).name == names["a"]


def test_other_weights_beside_the_graph_are_another_model(tmp_path: Path) -> None:
    folder = write(tmp_path, external=True)
    before = model_in(folder).name
    data = folder / "onnx" / "model.onnx_data"
    data.write_bytes(data.read_bytes()[::-1])
    assert model_in(folder).name != before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules.json": modules("Transformer", "Pooling", "Dense")}, r"modules\.json: type: Dense"),
        ({"modules.json": {"idx": 0}}, r"modules\.json: .*array"),
        ({"modules.json": [{"idx": 0}]}, r"modules\.json: 0\.path"),
        ({"modules.json": "{"}, r"modules\.json: .*JSON"),
        ({"1_Pooling/config.json": {"pooling_mode": "weightedmean"}}, r"config\.json: pooling_mode: .*weightedmean"),
        ({"1_Pooling/config.json": {}}, r"config\.json: pooling_mode: none"),
        (
            {"1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}},
            "pooling_mode: .*cls_token.*mean_tokens",
        ),
        (
            {
                "1_Pooling/config.json": {"pooling_mode": "mean", "include_prompt": False},
                "config_sentence_transformers.json": PROMPTS,
            },
            "include_prompt",
        ),
        ({"sentence_bert_config.json": {"max_seq_length": 0}}, r"sentence_bert_config\.json: max_seq_length"),
        ({"sentence_bert_config.json": {"do_lower_case": True}}, r"sentence_bert_config\.json: do_lower_case"),
        ({"config_sentence_transformers.json": {"prompts": ["query: "]}}, r"transformers\.json: prompts"),
        ({"tokenizer.json": "{}"}, r"tokenizer\.json: "),
        ({"onnx/model.onnx": "no graph"}, r"model\.onnx cannot be loaded"),
    ],
)
async def test_what_cannot_be_computed_names_file_and_field(
    tmp_path: Path, files: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(Misconfigured, match=message):
        await vectors(write(tmp_path, files))


@pytest.mark.parametrize("missing", ["tokenizer.json", "onnx/model.onnx"])
async def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (write(tmp_path) / missing).unlink()
    with pytest.raises(Misconfigured, match=missing):
        await vectors(tmp_path)


async def test_unknown_inputs_and_outputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="the input position_ids"):
        await vectors(write(tmp_path / "input", inputs=(*INPUTS, "position_ids")))
    with pytest.raises(Misconfigured, match=r"of the outputs .*logits"):
        await vectors(write(tmp_path / "output", output="logits"))


def test_a_server_and_a_folder_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="CC_EM_MODEL_PATH"):
        read_settings(EmbedSettings, {"CC_EM_BASE_URL": "http://localhost/v1", "CC_EM_MODEL_PATH": str(tmp_path)})


def test_an_unknown_model_is_named_by_its_variable() -> None:
    with pytest.raises(Misconfigured, match=r"CC_EM_MODEL: .*multilingual-e5-small"):
        read_settings(EmbedSettings, {"CC_EM_MODEL": "multilingual-e5-large"})
