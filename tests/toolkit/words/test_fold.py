"""One spelling for what people take for the same letters."""

import unicodedata

import pytest

from context_chat_backend.toolkit.indexing.words.fold import visible, without_accents, without_umlauts


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("plain", "plain"),
        ("Mül\u00adfeld", "Mülfeld"),
        ("zero\u200bwidth\u200djoined\ufeff", "zerowidthjoined"),
        ("\u202eright to left\u202c", "right to left"),
        ("ﬁnanz ﬂoß", "finanz floß"),
        ("ＲＥ－２０２４", "RE-2024"),
        ("①②③ x²", "123 x2"),
        ("٢٠٢٤ २०२४ ๒๐๒๔", "2024 2024 2024"),
        (unicodedata.normalize("NFD", "Ångström"), "Ångström"),
        ("ｶﾞｽ", "ガス"),
    ],
)
def test_compatibility_forms_and_invisible_characters_are_gone(written: str, seen: str) -> None:
    assert visible(written) == seen


@pytest.mark.parametrize(
    ("accented", "bare"),
    [
        ("straße", "straße"),
        ("çelik ñandú élève", "celik nandu eleve"),
        ("ørsted łukasz đorđe þór", "orsted lukasz dorde thor"),
        ("ısı", "isi"),
        ("έξι", "εξι"),
        ("ёлка", "елка"),
        ("תּוֹרָה", "תורה"),
        ("مُحَمَّد", "محمد"),
        ("hóa đơn", "hoa don"),
    ],
)
def test_accents_are_gone(accented: str, bare: str) -> None:
    assert without_accents(accented) == bare
    assert without_accents(unicodedata.normalize("NFD", accented)) == bare


@pytest.mark.parametrize("kept", ["हिन्दी", "ไทย", "が", "한국어", "தமிழ்"])
def test_words_of_scripts_whose_vowels_are_marks_differ_still(kept: str) -> None:
    assert len(without_accents(kept)) > len([c for c in kept if unicodedata.category(c)[0] == "L"]) - 1
    assert without_accents(kept)


@pytest.mark.parametrize("spelling", ["müller", "mueller", "muller", unicodedata.normalize("NFD", "müller")])
def test_all_ways_to_write_an_umlaut_are_one(spelling: str) -> None:
    assert without_umlauts(without_accents(spelling)) == "muller"


@pytest.mark.parametrize("text", ["", "a", "\ud800", "\U0010ffff", "👩‍👩‍👧", "a" + "\u0301" * 10_000])
def test_nothing_is_too_odd(text: str) -> None:
    once = without_umlauts(without_accents(visible(text).lower()))
    assert without_umlauts(without_accents(visible(once))) == once
