"""What the documents show is what the files say."""

import re
from pathlib import Path

import pytest
from context_chat_qdrant.settings import QdrantSettings

EXAMPLE = Path(__file__).parents[1]
REPOSITORY = EXAMPLE.parents[2]
GUIDE = REPOSITORY / "docs" / "writing-a-driver.md"
BLOCK = re.compile(r"^```(python|toml)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def excerpts() -> list[tuple[str, str]]:
    """The file that a block of code names, empty for none, and the block."""
    if not GUIDE.exists():  # where the example was copied alone
        return []
    return [(name, text) for _, name, text in BLOCK.findall(GUIDE.read_text("utf-8"))]


@pytest.mark.parametrize(("name", "text"), excerpts())
def test_each_block_of_code_in_the_guide_is_a_part_of_the_file_that_it_names(name: str, text: str) -> None:
    assert name, f"begin the block with ```python file=…:\n{text}"
    assert f"\n{text}" in f"\n{(REPOSITORY / name).read_text('utf-8')}"


def test_the_readme_lists_every_variable() -> None:
    variables = set(re.findall(r"^\| `(QDRANT_\w+)` ", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE))
    assert variables == {f"QDRANT_{name.upper()}" for name in QdrantSettings.model_fields} | {"QDRANT_CATALOGUE_URL"}
