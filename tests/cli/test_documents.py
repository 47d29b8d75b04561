"""Documents that repeat the code stay true."""

import re
import tomllib
from pathlib import Path

import pytest

from context_chat_backend import __version__

REPO = Path(__file__).parents[2]
CONFIGURATION = (REPO / "docs" / "configuration.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["example.env", "ccbe.env.example"])
def test_every_variable_of_an_example_exists(name: str) -> None:
    variables = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (REPO / name).read_text("utf-8"), re.MULTILINE)
    assert "APP_SECRET" in variables
    assert [variable for variable in variables if f"`{variable}`" not in CONFIGURATION] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("backends/**/*.md")]
    broken = [
        f"{document.relative_to(REPO)}: {target}"
        for document in documents
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", document.read_text("utf-8"))
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_every_variable_that_a_document_names_exists() -> None:
    prefixes = "APP|CC|CCB|CC_EM|CC_LLM|EXTRACT|BUILTIN|R2R|QUEUE|LOAD|ACTION|METRICS|LOG"
    shape = re.compile(rf"`((?:{prefixes})_[A-Z0-9_]+)(?:=[^`]*)?`")
    r2r_itself = re.findall(r"^#?(\w+)=", (REPO / "r2r.env.example").read_text("utf-8"), re.MULTILINE)
    for document in [REPO / "README.md", *REPO.glob("docs/**/*.md"), *REPO.glob("backends/**/*.md")]:
        for variable in shape.findall(document.read_text("utf-8")):
            known = f"`{variable}`" in CONFIGURATION or variable in r2r_itself
            assert known, f"{document.name}: {variable}"


def test_there_is_one_version() -> None:
    assert tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["version"] == __version__


def test_the_readme_names_the_two_commands() -> None:
    readme = (REPO / "README.md").read_text("utf-8")
    assert "make demo" in readme
    assert "make test" in readme
