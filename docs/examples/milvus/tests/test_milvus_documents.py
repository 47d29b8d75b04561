"""What the README shows is what the files say."""

import re
from pathlib import Path

from context_chat_milvus.settings import MilvusSettings

EXAMPLE = Path(__file__).parents[1]


def test_the_readme_lists_every_variable() -> None:
    variables = set(re.findall(r"^\| `(MILVUS_\w+)` ", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE))
    assert variables == {f"MILVUS_{name.upper()}" for name in MilvusSettings.model_fields} | {"MILVUS_CATALOGUE_URL"}
