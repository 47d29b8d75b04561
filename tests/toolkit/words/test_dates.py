"""Days and months in the spellings of many languages."""

import time
from datetime import date

import pytest
from babel.dates import format_date

from context_chat_backend.toolkit.indexing.words.dates import LANGUAGES, dates, is_date, is_day, months
from context_chat_backend.toolkit.indexing.words.fold import visible

DAY = date(2024, 3, 17)


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-17",
        "2024/3/17",
        "17.03.2024",
        "17.3.24",
        "17/03/2024",
        "03/17/2024",
        "17-03-2024",
        "17. märz 2024",
        "17. mär. 2024",
        "march 17, 2024",
        "march 17th 2024",
        "17th of march 2024",
        "17 mar 2024",
        "17 mars 2024",
        "17 de marzo de 2024",
        "1° o 17 marzo 2024",
        "17 марта 2024",
        "17 μαρτίου 2024",
        "17 mart 2024",
        "2024年3月17日",
        "2024년 3월 17일",
    ],
)
def test_a_day_in_many_spellings(text: str) -> None:
    assert set(dates(text)) >= {"@2024-03-17", "@2024-03"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", ["long", "medium"])
@pytest.mark.parametrize("month", range(1, 13))
def test_every_month_as_it_is_written_in_full(language: str, width: str, month: int) -> None:
    written = format_date(date(2024, month, 9), width, locale=language).lower()
    written = visible(written)
    assert f"@2024-{month:02}" in set(dates(written)), written


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("3.4.2024", {"@2024-04-03", "@2024-04"}),
        ("3/4/2024", {"@2024-04-03", "@2024-04", "@2024-03-04", "@2024-03"}),
        ("4.17.2024", {"@2024-04-17", "@2024-04"}),
        ("march 2024", {"@2024-03"}),
        ("2024年3月", {"@2024-03"}),
        ("1.1.70", {"@1970-01-01", "@1970-01"}),
        ("1.1.69", {"@2069-01-01", "@2069-01"}),
        ("due on 9.8.2024.", {"@2024-08-09", "@2024-08"}),
        ("9. 8. 2024", {"@2024-08-09", "@2024-08"}),
        ("9 d\u2019ag. 2024", {"@2024-08-09", "@2024-08"}),
        ("2024. augusztus 9.", {"@2024-08-09", "@2024-08"}),
        ("2024. gada 9. augusts", {"@2024-08-09", "@2024-08"}),
        ("2024 m. rugpjūčio 9 d.", {"@2024-08-09", "@2024-08"}),
        ("9 listopada 2024", {"@2024-10-09", "@2024-10", "@2024-11-09", "@2024-11"}),
    ],
)
def test_both_readings_only_where_there_are_two(text: str, tokens: set[str]) -> None:
    assert set(dates(text)) == tokens


@pytest.mark.parametrize(
    "text",
    ["", "2024", "31.02.2024", "99/99/2024", "1.2.3", "1.2.2024.5", "192.168.10.24", "may", "in 2024", "0000-01-01"],
)
def test_what_is_no_day(text: str) -> None:
    assert set(dates(text)) == set()


@pytest.mark.parametrize("written", ["2024-03-17", "17.3.2024", "17/03/24", "3-17-2024"])
def test_a_date_in_numbers(written: str) -> None:
    assert is_date(written)
    assert not is_date(f"{written}-1")
    assert not is_date(f"a-{written}")


def test_a_day_is_not_just_a_month() -> None:
    assert is_day("@2024-03-17")
    assert not is_day("@2024-03")


def test_months_of_all_languages_are_known() -> None:
    assert months()["december"] == months()["dezember"] == months()["grudnia"] == months()["декабря"] == {12}
    assert months()["listopada"] == {10, 11}


def test_time_grows_with_the_text_only() -> None:
    def seconds(count: int) -> float:
        text = "12 de 2024 mar 1.2.3/4-5 " * count
        start = time.perf_counter()
        list(dates(text))
        return time.perf_counter() - start

    seconds(100)
    assert min(seconds(8_000) for _ in range(3)) < 4 * 4 * min(seconds(2_000) for _ in range(3))
