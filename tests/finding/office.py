"""An office made up from a seed: invoices that differ in little but their numbers, files that nobody would find by what
is in them, and a lot of other text."""

import random
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

from context_chat_backend.nextcloud.push_client import part

FILES, NOTES = "files__default", "notes__notes"
BEGINNINGS = ("Mül", "Schröt", "Käl", "Höß", "Grün", "Lefèv", "Nuñ", "Çel", "Białk", "Ørst", "Traub", "Wend", "Kolb")
ENDINGS = ("feld", "bach", "hofer", "mann", "berg", "singer", "inger", "stedt", "brück", "tal", "ried", "heim", "wald")
SYLLABLES = ("qua", "vel", "tro", "min", "zax", "bor", "lun", "kip", "dre", "fos", "jat", "wem", "pyl", "gur", "hes")
GERMAN = (
    "Die Abteilung {a} bittet um Rückmeldung zu {b} bis {c}.",
    "Bei der Besprechung ging es um {a} und um die Rechnung für {b}.",
    "Wann genau muss {a} spätestens bezahlt werden, fragte {b}.",
    "Die Nummer {n} der Liste ist {a}, die Firma liefert {b} im Jahr {y}.",
    "{a} wird im Lager neben {b} aufbewahrt, siehe Seite {n}.",
)
ENGLISH = (
    "The company asked exactly when {a} has to be paid at the latest.",
    "Could you tell me which invoice belongs to {a} and to {b}?",
    "The number of {a} was {n} in {y}, and {b} sent it with the letter.",
    "Please keep {a} next to {b}; page {n} of the manual says why.",
    "We talked about {a}, then about {b}, and the meeting ended in {c}.",
)
NOUNS = {
    "de": ("Heizung", "Vertrag", "Drucker", "Fahrplan", "Urlaub", "Schlüssel", "Parkplatz", "Werkzeug", "Kantine"),
    "en": ("heating", "contract", "printer", "timetable", "holiday", "parking", "toolbox", "canteen", "carpet"),
}
MONTHS = ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
          "Dezember")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A document as it is uploaded."""

    source_id: str
    title: str
    content: str
    modified: int = 1_700_000_000

    @property
    def part(self) -> bytes:
        return part(
            self.source_id, self.content.encode(), title=self.title, mime_type="text/plain", modified=self.modified
        )


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one is looked for by. No two have any of it in common."""

    index: int
    groups: tuple[str, ...]
    """Of its number."""
    separator: str
    company: str
    iban: str
    """Without blanks."""
    area: str
    subscriber: str
    cents: int
    day: date

    @property
    def number(self) -> str:
        return self.separator.join(self.groups)

    @property
    def host(self) -> str:
        plain = unicodedata.normalize("NFKD", self.company).encode("ascii", "ignore").decode().lower()
        return f"{plain}-{self.index}.example"

    @property
    def source_id(self) -> str:
        return f"{FILES}: {1000 + self.index}"

    @property
    def amount(self) -> str:
        """As in English."""
        return f"{self.cents // 100:,}.{self.cents % 100:02}"

    @property
    def text(self) -> Text:
        german = self.index % 2 == 0
        content = self._german() if german else self._english()
        return Text(self.source_id, f"files/Scans/Scan {self.index:03}.txt", content)

    def _german(self) -> str:
        amount = self.amount.translate(str.maketrans(".,", ",."))
        iban = " ".join(self.iban[start : start + 4] for start in range(0, len(self.iban), 4))
        return (
            f"{self.company} GmbH\n\nRechnung {self.number}\n\nvom {self.day.day}. {MONTHS[self.day.month - 1]} "
            f"{self.day.year}. Für unsere Leistungen berechnen wir Ihnen {amount} €, zahlbar in vierzehn Tagen auf das "
            f"Konto {iban}. Fragen beantwortet die Buchhaltung: 0{self.area} {self.subscriber[:3]} "
            f"{self.subscriber[3:5]} {self.subscriber[5:]}, buchhaltung@{self.host}."
        )

    def _english(self) -> str:
        return (
            f"{self.company} Ltd\n\nInvoice no. {self.number} of {self.day:%d/%m/%Y}\n\nFor our services we charge "
            f"EUR {self.amount}, to be paid within fourteen days to the account {self.iban}. Questions? Call "
            f"+49 {self.area} {self.subscriber} or write to accounts@{self.host}."
        )


def invoices(count: int = 160, seed: int = 7) -> list[Invoice]:
    """In four schemes of numbers."""
    rng = random.Random(seed)
    serials = rng.sample(range(3100, 9000), 1)[0]
    names = [beginning + ending for beginning in BEGINNINGS for ending in ENDINGS]
    rng.shuffle(names)
    subscribers = rng.sample(range(2_000_000, 9_000_000), count)
    amounts = rng.sample(range(120_000, 990_000), count)
    made = []
    for index in range(count):
        serial = f"{serials + index:04}"
        groups, separator = [
            (("RE", "2024", serial), "-"),
            (("INV", "2023", f"0{serial}"), "/"),
            ((f"KD{rng.randrange(10, 99)}", serial, rng.choice("ABCX")), "."),
            (("77", f"{serial}", f"{rng.randrange(100, 999)}"), " "),
        ][index % 4]
        made.append(
            Invoice(
                index=index,
                groups=groups,
                separator=separator,
                company=names[index],
                iban=f"DE{rng.randrange(10, 99)}{rng.randrange(10**17, 10**18)}",
                area=rng.choice(("30", "221", "89", "40", "711")),
                subscriber=str(subscribers[index]),
                cents=amounts[index],
                day=date(2023, 1, 1) + timedelta(days=3 * index + 1),
            )
        )
    return made


def invented(rng: random.Random, syllables: int = 4) -> str:
    """A word that no other text has."""
    return "".join(rng.choice(SYLLABLES) for _ in range(syllables))


@dataclass(frozen=True, slots=True)
class Technical:
    """Words that hide in other things."""

    source_id: str
    in_url: str
    tag: str
    generic: str
    camel: str
    snake: str

    @property
    def text(self) -> Text:
        content = (
            f"Configuration of the service.\n\nSee https://portal.example.org/docs/{self.in_url}/index.html?lang=en. "
            f"The element <{self.tag}> holds a List<{self.generic}>; call get{self.camel.capitalize()}Entry() first, "
            f"and set {self.snake}_max_items in the settings."
        )
        return Text(self.source_id, "files/Notes/service.txt", content)


def technicals(count: int, seed: int = 8) -> list[Technical]:
    rng = random.Random(seed)
    return [
        Technical(
            f"{FILES}: {2000 + index}", invented(rng), invented(rng), invented(rng).capitalize(), invented(rng),
            invented(rng),
        )
        for index in range(count)
    ]  # fmt: skip


FILE_NAMES = (
    "Budget 2025.csv", "Budget 2026.csv", "Budget 2027.csv", "lebenslauf_final_v2.txt", "lebenslauf_final_v3.txt",
    "IMG_20240312_141107.txt", "IMG_20240312_141521.txt", "Protokoll-2024-05-17.txt", "Protokoll-2024-06-21.txt",
    "Wohnungsübergabe Kellergeschoß.txt", "meeting-notes (copy).txt", "Q3 report draft.txt", "Q4 report draft.txt",
    "Mietvertrag_Lindenstraße 12.txt", "Mietvertrag_Lindenstraße 21.txt", "packing list Norway.txt", "README.de.txt",
    "Präsentation Jahresabschluss.txt", "holidayCalendar.txt", "backup-restore.howto.txt",
)  # fmt: skip


def named_files() -> list[Text]:
    """What is in them does not say how they are called."""
    rng = random.Random(9)
    return [
        Text(f"{FILES}: {3000 + index}", f"files/Documents/Ablage/{name}", _paragraph(rng, "de" if index % 2 else "en"))
        for index, name in enumerate(FILE_NAMES)
    ]


def others(count: int, seed: int = 10) -> list[Text]:
    """German and English notes of a chunk each."""
    rng = random.Random(seed)
    return [
        Text(f"{NOTES}: {5000 + index}", f"Notiz {invented(rng, 2)}", _paragraph(rng, "de" if index % 2 else "en"))
        for index in range(count)
    ]


def _paragraph(rng: random.Random, language: str) -> str:
    sentences, nouns = (GERMAN, NOUNS["de"]) if language == "de" else (ENGLISH, NOUNS["en"])
    return " ".join(
        rng.choice(sentences).format(
            a=f"{rng.choice(nouns)} {invented(rng, 2)}",
            b=rng.choice(nouns),
            c=invented(rng, 3),
            n=rng.randrange(2, 400),
            y=rng.randrange(2019, 2026),
        )
        for _ in range(5)
    )
