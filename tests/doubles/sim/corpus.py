"""The documents of the demo: files, mails and cards of four people, the same every time."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

from tests.doubles.sim import facts

ANNA, BJOERN, CARLA, DAVID = PEOPLE = ("anna", "björn", "carla", "david")
YEAR = 2027
MONTHS = 12
FIRST_FILE = 1001
FIRST_MTIME = 1_790_000_000
LAMP_FILE = "files/Devices/en/Coffee machine.md"
SALARIES = "files/Private/Salaries.md"


@dataclass(frozen=True)
class Document:
    kind: Literal["file", "mail", "deck"]
    title: str
    """The path of a file."""
    mime: str
    text: str
    readers: tuple[str, ...]
    """The owner comes first."""


def documents() -> list[Document]:
    return [*_animals(), *_cities(), *_devices(), *_invoices(), *_minutes(), *_mails(), *_cards(), *_secrets()]


def numbered() -> Iterator[tuple[int, Document]]:
    """With the ids of files, and for others with numbers that are used in theirs."""
    return zip(count(FIRST_FILE), documents(), strict=False)


def _animals() -> Iterator[Document]:
    """Everybody may read the portraits in English; the others belong to those who know the language."""
    readers = {"en": PEOPLE, "de": (ANNA, BJOERN), "fr": (CARLA, ANNA), "es": (DAVID, CARLA)}
    for animal in facts.ANIMALS:
        for place, language in enumerate(facts.LANGUAGES):
            name = animal.names[place]
            text = facts.PORTRAITS[language].format(
                name=name,
                lower=name.lower(),
                region=facts.REGIONS[animal.region][place],
                diet=facts.DIETS[animal.diet][place],
                kilograms=f"{animal.kilograms:g}" if animal.kilograms < 1000 else f"{animal.kilograms:.0f}",
                metres=animal.metres,
                years=animal.years,
            )
            path = f"files/Animals/{language}/{name}.md"
            yield Document("file", path, "text/markdown", text, readers[language])


def _cities() -> Iterator[Document]:
    for number, city in enumerate(facts.CITIES):
        guide = facts.GUIDES[city.language].format(**city._asdict())
        readers = (PEOPLE[number % 4], PEOPLE[(number + 1) % 4])
        yield Document("file", f"files/Travel/{city.name}.txt", "text/plain", guide, readers)


def _devices() -> Iterator[Document]:
    for device in facts.DEVICES:
        for place, language in enumerate(("en", "de")):
            lines = [f"# {device.names[place]}", *(fault[place] for fault in device.faults)]
            path = f"files/Devices/{language}/{device.names[place]}.md"
            readers = PEOPLE if language == "en" else (ANNA, BJOERN)
            yield Document("file", path, "text/markdown", "\n\n".join(lines) + "\n", readers)


def _invoices() -> Iterator[Document]:
    """One of each supplier in every second month as JSON, and a table of each month as CSV."""
    for month in range(1, MONTHS + 1):
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(["supplier", "goods", "amount", "unit", "euros"])
        for number, (supplier, city, goods, unit, price) in enumerate(facts.SUPPLIERS):
            amount = 3 + (month * 7 + number * 5) % 20
            writer.writerow([supplier, goods, amount, unit, f"{amount * price:.2f}"])
            if (month + number) % 2:
                continue
            invoice = {
                "invoice": f"{YEAR}-{month:02}-{number + 1}",
                "supplier": supplier,
                "city": city,
                "text": f"{supplier} of {city} delivered {amount} {unit} of {goods}.",
                "euros": round(amount * price, 2),
                "due": f"{YEAR}-{month:02}-28",
            }
            path = f"files/Invoices/{YEAR}-{month:02} {supplier}.json"
            text = json.dumps(invoice, ensure_ascii=False, indent=1)
            yield Document("file", path, "application/json", text, (CARLA, ANNA))
        yield Document("file", f"files/Invoices/{YEAR}-{month:02}.csv", "text/csv", table.getvalue(), (CARLA, BJOERN))


def _minutes() -> Iterator[Document]:
    """In the formats that authors of text like."""
    formats = (("md", "text/markdown", "# {}\n\n"), ("rst", "text/x-rst", "{}\n\n"), ("org", "text/org", "* {}\n"))
    for number, decision in enumerate(facts.DECISIONS):
        suffix, mime, heading = formats[number % 3]
        absent = PEOPLE[number % 4]
        present = tuple(person for person in PEOPLE if person != absent)
        title = f"Minutes of week {number + 2}"
        named = ", ".join(person.capitalize() for person in present)
        text = heading.format(title) + f"Present: {named}.\n\n{decision}\n"
        yield Document("file", f"files/Minutes/{title}.{suffix}", mime, text, present)


def _mails() -> Iterator[Document]:
    for number, (subject, letter, reply) in enumerate(facts.LETTERS):
        sender, receiver = PEOPLE[number % 4], PEOPLE[(number + 1 + number // 4 % 3) % 4]
        both = (sender, receiver)
        first = f"From: {sender}\nTo: {receiver}\n\n{letter}\n\nRegards, {sender.capitalize()}\n"
        second = f"From: {receiver}\nTo: {sender}\n\n{reply}\n\n> {letter}\n"
        yield Document("mail", subject, "text/plain", first, both)
        yield Document("mail", f"Re: {subject}", "text/plain", second, both)


def _cards() -> Iterator[Document]:
    for number, (title, description) in enumerate(facts.CARDS):
        board = (ANNA, BJOERN, CARLA) if number % 2 else (BJOERN, DAVID)
        yield Document("deck", title, "text/plain", f"{title}\n\n{description}\n", board)


def _secrets() -> Iterator[Document]:
    for owner, path, text in facts.SECRETS:
        mime = "text/markdown" if path.endswith(".md") else "text/plain"
        yield Document("file", path, mime, text, (owner,))
