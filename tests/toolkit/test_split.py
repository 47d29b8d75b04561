import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from tokenizers import Tokenizer

from context_chat_backend.toolkit.indexing.embed.local import TOKENIZER, package_folder
from context_chat_backend.toolkit.indexing.split import MAX_CHARS_PER_TOKEN, Splitter

MODEL_TOKENS = 256
CAPACITY = MODEL_TOKENS - 2  # without [CLS] and [SEP]

ENGLISH = (
    "The harbour of Valparaíso was silent. Nobody had seen the grey ship come in.\nIt carried tea, salt; no news.\n\n"
)
CHINESE = "維基大典集天下知識於一爐眾人皆可編纂。春眠不覺曉處處聞啼鳥。\n"
CODE = "def area(width: int) -> int:\n    return width * 2  # twice\n\n\n"
MARKDOWN = (
    "# Harbour\n\nShips *come* and [go](https://example.org).\n\n## Tea\n\n- black\n- green\n\n"
    "| sort | price |\n|------|-------|\n| oolong | 12 |\n\n```python\nprint('tea')\n```\n\n"
)

TEXTS = {
    "english": ENGLISH * 300,
    "chinese": CHINESE * 600,
    "code": CODE * 300,
    "markdown": MARKDOWN * 150,
    "one line": ENGLISH.replace("\n", " ") * 300,
    "no blank": "x" * 50_000,
    "hex": random.Random(1).randbytes(20_000).hex(),
    "emoji": "👩‍👩‍👧😀🇨🇱" * 2_000,
    "long words": ("w" * 5_000 + " ") * 8,
    "punctuation": "!?" * 5_000,
    "blank lines": "a" + "\n" * 50_000 + "b",
    "gaps": ("a" + "\n" * 90 + " \n" * 200) * 100,
    "short": "one",
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(package_folder() / TOKENIZER))


@pytest.fixture(scope="module", params=["characters", "tokens"])
def exact(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Splitter:
    return Splitter(1000, 0) if request.param == "characters" else Splitter(CAPACITY, 0, tokenizer)


def without_blanks(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("mime_type", ["text/plain", "text/markdown"])
@pytest.mark.parametrize("name", TEXTS)
def test_chunks_in_order_hold_every_character_but_blanks(exact: Splitter, name: str, mime_type: str) -> None:
    chunks = list(exact.split(TEXTS[name], mime_type))
    assert without_blanks("".join(chunks)) == without_blanks(TEXTS[name])
    assert all(chunk and chunk == chunk.strip() for chunk in chunks)


@pytest.mark.parametrize("mime_type", ["text/plain", "text/markdown"])
@pytest.mark.parametrize("name", TEXTS)
def test_no_chunk_has_more_characters_than_the_capacity(name: str, mime_type: str) -> None:
    assert max(len(chunk) for chunk in Splitter(1000, 100).split(TEXTS[name], mime_type)) <= 1000


@pytest.mark.parametrize("mime_type", ["text/plain", "text/markdown"])
@pytest.mark.parametrize("name", TEXTS)
def test_the_model_reads_every_chunk_to_its_end(name: str, mime_type: str, tokenizer: Tokenizer) -> None:
    chunks = list(Splitter(CAPACITY, 25, tokenizer).split(TEXTS[name], mime_type))
    reader = Tokenizer.from_str(tokenizer.to_str())
    reader.no_truncation()
    reader.no_padding()
    assert max(len(encoding.ids) for encoding in reader.encode_batch(chunks)) <= MODEL_TOKENS
    assert max(len(chunk) for chunk in chunks) <= CAPACITY * MAX_CHARS_PER_TOKEN


def test_the_tokenizer_of_the_caller_is_left_as_it_is(tokenizer: Tokenizer) -> None:
    tokenizer.enable_truncation(64)
    try:
        longest = max(
            len(chunk.split()) for chunk in Splitter(CAPACITY, 0, tokenizer).split(TEXTS["english"], "text/plain")
        )
        assert longest > 64
        assert tokenizer.truncation is not None
    finally:
        tokenizer.no_truncation()


def test_neighbours_overlap() -> None:
    words = " ".join(f"word{number}" for number in range(100))
    chunks = list(Splitter(200, 50).split(words, "text/plain"))
    assert all(after.split()[0] in before.split() for before, after in pairwise(chunks))


def test_markdown_is_cut_at_its_headings() -> None:
    text = "# Tea\n\nBlack or green.\n\n# Salt\n\nFrom the sea.\n"
    assert list(Splitter(30, 0).split(text, "text/markdown")) == ["# Tea\n\nBlack or green.", "# Salt\n\nFrom the sea."]


def test_words_stay_whole_also_where_sections_meet() -> None:
    words = [f"word{number}" for number in range(20_000)]
    chunks = Splitter(100, 0).split(" ".join(words), "text/plain")
    assert [word for chunk in chunks for word in chunk.split()] == words


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_blank_text_has_no_chunks(exact: Splitter, text: str) -> None:
    assert list(exact.split(text, "text/plain")) == []


def test_threads_may_share_a_splitter(exact: Splitter) -> None:
    expected = list(exact.split(TEXTS["english"], "text/plain"))
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda _: list(exact.split(TEXTS["english"], "text/plain")), range(8))
        assert all(result == expected for result in results)


@pytest.mark.parametrize(("capacity", "overlap"), [(100, 100), (100, -1), (0, 0)])
def test_an_overlap_that_makes_no_progress_is_refused(capacity: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        Splitter(capacity, overlap)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x" * 4_000_000, "😀" * 1_000_000, "word " * 800_000], ids=["x", "emoji", "words"])
def test_four_megabytes_without_any_boundary_are_split(exact: Splitter, text: str) -> None:
    assert without_blanks("".join(exact.split(text, "text/plain"))) == without_blanks(text)
