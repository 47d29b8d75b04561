"""The admin's file of rules: what fits, which rule decides, and what is said of a file that is wrong."""

from pathlib import Path

import pytest

from context_chat_backend.contract import Misconfigured, ProviderId, UserId
from context_chat_backend.core.rules import Described, Rules, read_rules


def rules(folder: Path, text: str) -> Rules:
    file = folder / "rules.toml"
    file.write_text(text)
    return read_rules(file)


def described(
    title: str = "files/Archive/2019/Plan.md",
    *,
    mime_type: str = "text/markdown",
    size: int = 1000,
    provider: str = "files__default",
    readers: list[str] | None = None,
) -> Described:
    users = None if readers is None else [UserId(reader) for reader in readers]
    return Described(provider=ProviderId(provider), title=title, mime_type=mime_type, size=size, user_ids=users)


def test_what_no_rule_fits_is_indexed(tmp_path: Path) -> None:
    assert rules(tmp_path, "").decide(described()).index is True
    assert rules(tmp_path, '[[rule]]\nindex = false\ntype = "image/*"').decide(described()).index is True


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ('path = "Archive/*"', True),
        ('path = "archive/*"', False),
        ('path = "2019/*"', False),
        ('path = "*/2019/*"', True),
        ('path = ["Photos/*", "*/Plan.md"]', True),
        ('path = "files/*"', True),
        ('path = "files/Archive/2019/*"', True),
        ('path = "[A]rchive/*"', False),
        ('type = "text/*"', True),
        ('type = ["image/*", "text/plain"]', False),
        ('provider = "files__*"', True),
        ('provider = "mail__mail"', False),
        ("larger_than = 999", True),
        ('larger_than = "1 kB"', False),
        ('larger_than = "0.5 KiB"', True),
        ('smaller_than = "1 KiB"', True),
        ("smaller_than = 1000", False),
        ('path = "Archive/*"\ntype = "image/*"', False),
        ('path = "Archive/*"\nlarger_than = 10', True),
        ('readers = "guest-*"', False),
        ('readers = ["guest-*", "alice"]', True),
        ("", True),
    ],
)
def test_a_rule_fits_when_all_its_conditions_do(tmp_path: Path, condition: str, fits: bool) -> None:
    skip = rules(tmp_path, f"[[rule]]\nindex = false\n{condition}")
    assert skip.decide(described(readers=["guest-1", "alice"])).index is not fits


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    both = rules(
        tmp_path,
        """
        [[rule]]
        index = true
        path = "Archive/2019/*"
        [[rule]]
        index = false
        path = "Archive/*"
        """,
    )
    assert both.decide(described()).index is True
    decision = both.decide(described("files/Archive/2020/Plan.md"))
    assert decision.index is False
    assert "2" in decision.reason


def test_nobody_can_tell_where_a_rule_about_readers_comes_first_and_they_are_not_known(tmp_path: Path) -> None:
    unknown = rules(
        tmp_path,
        """
        [[rule]]
        index = true
        path = "Archive/*"
        readers = "chief"
        [[rule]]
        index = false
        path = "Archive/*"
        """,
    )
    assert unknown.decide(described()).index is None
    assert unknown.decide(described(readers=["chief"])).index is True
    assert unknown.decide(described(readers=["chief", "eve"])).index is False
    assert unknown.decide(described("files/Notes.md")).index is True, "its readers do not matter"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[rule]]\nindex = maybe", "not TOML"),
        ("[[rule]]\npath = 'a'", "rule 1, index"),
        ("[[rule]]\nindex = false\n[[rule]]\nindex = true\npth = 'a'", "rule 2, pth"),
        ("[[rule]]\nindex = false\nlarger_than = 'huge'", "rule 1, larger_than"),
        ("[[rules]]\nindex = false", r"begins with a line \[\[rule\]\]"),
        ("[rule]\nindex = false", r"begins with a line \[\[rule\]\]"),
        ("[[rule]]\nindex = false\npath = []", "rule 1, path: expected a pattern"),
        ("[[rule]]\nindex = 3", "rule 1, index: expected true or false"),
        ("[[rule]]\nindex = false\ntype = 3", "rule 1, type"),
    ],
)
def test_a_file_that_is_wrong_is_refused_and_the_place_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(Misconfigured, match=named) as refused:
        rules(tmp_path, text)
    assert "INDEX_RULES" in str(refused.value)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_rules(tmp_path / "rules.toml")


def test_brackets_stand_for_themselves(tmp_path: Path) -> None:
    skip = rules(tmp_path, '[[rule]]\nindex = false\npath = "Photos [2020]/*"')
    assert skip.decide(described("files/Photos [2020]/a.txt")).index is False
    assert skip.decide(described("files/Photos 2/a.txt")).index is True


def test_equal_rules_have_one_digest_and_others_another(tmp_path: Path) -> None:
    skip = '[[rule]]\nindex = false\npath = "a"'
    assert rules(tmp_path, skip).digest == rules(tmp_path, f"# why\n{skip}").digest
    assert rules(tmp_path, skip).digest != rules(tmp_path, skip.replace("false", "true")).digest
    assert rules(tmp_path, "").digest == Rules().digest
