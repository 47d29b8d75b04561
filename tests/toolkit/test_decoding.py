"""The encodings that people's files are in: what a declaration means, and what is made of files without one."""

import gzip
import random

import pytest

from context_chat_backend.toolkit.indexing.extract.decoding import decode
from context_chat_backend.toolkit.indexing.extract.formats import Unreadable

WESTERN = [
    "Übergabe an Köln",
    "Müller, Größe",
    "Öffnungszeiten: 8–12 Uhr, „Amt“, 5 €",
    "œuvre d’été à la française, où ça ?",
    "élève\nécole\nété\nœuf\nfenêtre\nforêt\nnaïve\nnoël",
    "Año nuevo, ¿qué tal? ¡Mañana!",
    "São Paulo não é a capital; coração",
    "Åse spiser blåbær på øya",
    "ÜBERGRÖSSE, ÄRGER",
    "Raum: 20 °C ± 2, ½ l, § 5, 3 m²",
    "Þetta er íslenskur texti með ð og þ",
    "Hyvää päivää",
    "ü",
]
OTHERS = [
    ("cp1250", "Zażółć gęślą jaźń"),
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
    ("cp1251", "Привет мир"),
    ("cp1251", "Договор"),
    ("koi8-r", "Привет, это обычный русский текст о погоде"),
    ("cp866", "Привет, это текст из DOS"),
    ("cp1253", "Καλημέρα κόσμε"),
    ("cp1254", "İstanbul'da yaşıyorum"),
    ("cp1255", "שלום עולם"),
    ("cp1256", "مرحبا بالعالم هذا نص عربي"),
    ("cp850", "Lieferschein für Bäckerei Schröder, Österreich"),
    ("mac-roman", "Müller, Größe und Straße"),
    ("cp932", "請求書の番号は15です"),
    ("euc-jp", "こんにちは世界、これは日本語です"),
    ("gb18030", "发票号码是15"),
    ("big5", "你好，世界，這是中文"),
    (
        "big5",
        "維基大典（Wikipedia）者，網路為礎；集天下知、四海言、眾人志，書百科焉。",
    ),  # signs of ASCII within characters
    ("cp932", "表示ソフト（能力）の予定、十分な構造"),
    ("gb18030", "乗丂丄丅丆丏丒（Wikipedia）自由的百科全书，海纳百川"),
    ("cp949", "송장 번호는 15입니다"),
    ("utf-16-le", "Rechnung für Müller"),
    ("utf-16-be", "Rechnung für Müller"),
]


@pytest.mark.parametrize("text", WESTERN)
def test_windows_1252_is_read_as_what_it_is_however_short(text: str) -> None:
    assert decode(text.encode("cp1252")) == text
    assert decode(b"plain words\n" * 100_000 + text.encode("cp1252")).endswith(text)


@pytest.mark.parametrize(("encoding", "text"), OTHERS)
def test_other_encodings_are_told_by_what_is_written(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text
    for start in ("a\n" * 100_001, "a " * 100_001):
        assert decode((start + text).encode(encoding)).endswith(text)


@pytest.mark.parametrize("broken", [b"\xa0", b"\xff", b"\xc3", b"\xe2\x82", b"M\xfcller"])
@pytest.mark.parametrize("declared", [None, "iso-8859-1"])
def test_what_is_nearly_utf_8_is_utf_8(broken: bytes, declared: str | None) -> None:
    whole = "# Öffnungszeiten\n\nBürgerämter, 5 €\n" * 10
    for data in (broken + whole.encode(), whole.encode() + broken, whole.encode() + b"\n" + broken + b"\n"):
        assert whole.strip() in decode(data, declared)


def test_one_wrong_byte_spoils_nothing_in_a_text_without_accents() -> None:
    whole = "All in ASCII.\n" * 10_000
    assert whole in decode(whole.encode() + b"\xff")


@pytest.mark.parametrize(
    ("declared", "data", "text"),
    [
        ("iso-8859-1", b"5 \x80", "5 €"),
        ("us-ascii", "Größe".encode("cp1252"), "Größe"),
        ("latin1", b"\x93quoted\x94", "“quoted”"),
        ("ISO-8859-9", b"5 \x80, \xfe", "5 €, ş"),
        ("shift_jis", b"\x87\x40", "①"),
        ("iso-2022-jp", "テスト".encode("iso-2022-jp"), "テスト"),
        ("gb2312", "镕".encode("gb18030"), "镕"),
        ("euc-kr", "똠방각하".encode("cp949"), "똠방각하"),
        ("big5", "香港嘅".encode("big5hkscs"), "香港嘅"),
        ("windows-1251", "Ёж".encode("cp1251"), "Ёж"),
        ("no such encoding", "Größe".encode("cp1252"), "Größe"),
        ("hex", "Größe".encode("cp1252"), "Größe"),
        ("idna", "Größe".encode("cp1252"), "Größe"),
    ],
)
def test_a_declaration_means_what_browsers_understand(declared: str, data: bytes, text: str) -> None:
    assert decode(data, declared) == text


@pytest.mark.parametrize("declared", ["utf-8", "utf-16", "utf-32-le", "euc-kr"])
@pytest.mark.parametrize("rest", ["", "and then nothing but plain words for a while, as most texts have them,\n"])
def test_a_declaration_that_cannot_be_right_is_not_believed(declared: str, rest: str) -> None:
    text = f"Die Straße führt über Köln nach Münster.\n{rest * 10}" * 20
    assert decode(text.encode("cp1252"), declared) == text


@pytest.mark.parametrize("seed", range(5))
def test_binary_data_is_no_text(seed: int) -> None:
    noise = random.Random(seed).randbytes(20_000)
    for data in (noise, gzip.compress(noise), b"Some text.\n" + noise):
        with pytest.raises(Unreadable):
            decode(data)
