"""Which language a text is in, and the stems of its words."""

import pytest

from context_chat_backend.toolkit.indexing.words.languages import (
    LANGUAGES,
    UNKNOWN,
    language_of,
    likeliest_language,
    stemmer,
    stop_words,
)

TEXTS = {
    "en": "The meeting has been moved to Thursday because the room is being painted.",
    "de": "Die Besprechung wurde auf Donnerstag verschoben, weil der Raum gestrichen wird.",
    "fr": "La réunion est reportée à jeudi parce que la salle est en travaux.",
    "es": "La reunión se ha aplazado hasta el jueves porque están pintando la sala.",
    "ru": "Встреча перенесена на четверг, потому что в комнате идёт ремонт.",
    "ar": "تم تأجيل الاجتماع إلى يوم الخميس لأن الغرفة قيد الطلاء",
    "he": "הפגישה נדחתה ליום חמישי כי צובעים את החדר",
    "zh": "因为会议室正在粉刷，会议改到星期四举行，请大家注意时间。",
    "ja": "会議室を塗り替えているため、会議は木曜日に延期されました。",
    "tr": "Oda boyandığı için toplantı perşembe gününe ertelendi.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_told_apart(language: str) -> None:
    assert language_of(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "ok", "4711 4712 4713 " * 50, "--- *** ---", "\ud800" * 100])
def test_what_is_too_short_is_unknown(text: str) -> None:
    assert language_of(text) == UNKNOWN


@pytest.mark.parametrize(
    ("question", "texts", "language"),
    [
        ("fatura nerede", {"tr": 100, "en": 100}, "tr"),
        ("Rechnung", {"de": 100, "en": 100}, "de"),
        ("Rechnung", {"en": 100}, "en"),
        ("invoice", {"en": 256, "de": 100, "ro": 1}, "en"),
        ("فاتورة", {"de": 256, "en": 256, "ar": 3}, "ar"),
        ("תעופה", {"de": 256, "he": 1}, "he"),
        ("فاتورة", {"de": 256, "en": 256}, "ar"),
        ("where is the invoice", {}, "en"),
    ],
)
def test_a_question_is_in_a_language_that_texts_are_in(question: str, texts: dict[str, int], language: str) -> None:
    assert likeliest_language(question, texts) == language


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("en", ["meeting", "meetings"]),
        ("de", ["häuser", "haus"]),
        ("fr", ["contrats", "contrat"]),
        ("ru", ["библиотеке", "библиотека"]),
        ("ar", ["الفاتورة", "فاتورة"]),
        ("he", ["והמכתב", "המכתב", "מכתב"]),
        ("he", ["הלחם", "לחם"]),
        ("tr", ["kitaplar", "kitap"]),
    ],
)
def test_forms_of_a_word_have_one_stem(language: str, forms: list[str]) -> None:
    assert len(set(stemmer(language)(forms))) == 1


def test_words_without_a_stemmer_stay() -> None:
    assert stemmer("vi")(["thư", "viện"]) == ["thư", "viện"]
    assert stemmer(UNKNOWN)(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("language", sorted({*LANGUAGES, UNKNOWN, "xx"}))
def test_every_language_can_be_asked_for(language: str) -> None:
    words = ["", "a", "word", "мир", "字", "\ud800", "x" * 10_000]
    assert len(stemmer(language)(words[:-2])) == len(words) - 2
    assert all(word == word.lower() or word for word in stop_words(language))


def test_stop_words() -> None:
    assert {"the", "with"} <= stop_words("en")
    assert "invoice" not in stop_words("en")
    assert stop_words(UNKNOWN) == frozenset()
