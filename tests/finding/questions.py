"""How people type what they are looking for."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from .office import MONTHS, Invoice, Technical, Text

TRANSCRIBED = {ord(letter): other for letter, other in zip("üöäßØł", ("ue", "oe", "ae", "ss", "Oe", "l"), strict=True)}
BARE = {ord(letter): other for letter, other in zip("ßØł", ("ss", "O", "l"), strict=True)}
Ask = Callable[[Invoice], Iterator[str]]


def _as_written(invoice: Invoice) -> Iterator[str]:
    yield invoice.number


def _other_separators(invoice: Invoice) -> Iterator[str]:
    for separator in ("/", " ", "", "\u2013", "-", ".", "_"):
        if separator != invoice.separator:
            yield separator.join(invoice.groups)


def _lower_case(invoice: Invoice) -> Iterator[str]:
    yield invoice.number.lower()


def _in_part(invoice: Invoice) -> Iterator[str]:
    yield invoice.groups[1] if invoice.index % 4 > 1 else invoice.groups[2]
    yield invoice.separator.join(invoice.groups[1:])


def _in_a_long_question(invoice: Invoice) -> Iterator[str]:
    yield (
        f"Could you please tell me which company sent us the invoice with the number {invoice.number} and when exactly "
        "it has to be paid at the latest?"
    )
    yield (
        f"Kannst du mir bitte sagen, von welcher Firma die Rechnung mit der Nummer {invoice.number} ist und bis wann "
        "genau sie spätestens bezahlt werden muss?"
    )


def _full_width(invoice: Invoice) -> Iterator[str]:
    yield invoice.number.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})


def _iban(invoice: Invoice) -> Iterator[str]:
    yield invoice.iban
    yield " ".join(invoice.iban[start : start + 4] for start in range(0, len(invoice.iban), 4))
    yield f"Wem gehört das Konto {invoice.iban}?"


def _telephone(invoice: Invoice) -> Iterator[str]:
    area, number = invoice.area, invoice.subscriber
    yield f"+49 {area} {number}"
    yield f"0{area}/{number}"
    yield f"0{area}{number}"
    yield f"(0{area}) {number[:4]}-{number[4:]}"
    yield f"Wer hat die Nummer 0{area} {number}?"
    yield number


def _amount(invoice: Invoice) -> Iterator[str]:
    yield invoice.amount
    yield invoice.amount.replace(",", "")
    yield invoice.amount.translate(str.maketrans(".,", ",."))
    yield f"EUR {invoice.amount.replace(',', ' ')}"
    yield f"Welche Rechnung ist über {invoice.amount.replace(',', '').replace('.', ',')} Euro?"


def _date(invoice: Invoice) -> Iterator[str]:
    day = invoice.day
    yield day.isoformat()
    yield f"{day:%d.%m.%Y}"
    yield f"{day.day}.{day.month}.{day:%y}"
    yield f"{day.day}. {MONTHS[day.month - 1]} {day.year}"
    yield f"{day:%B} {day.day}, {day.year}"
    yield f"Which invoice is from the {day.day}th of {day:%B} {day.year}?"
    yield f"Rechnung vom {day.day}. {day:%b}. {day.year}"


def _mail(invoice: Invoice) -> Iterator[str]:
    yield f"{'accounts' if invoice.index % 2 else 'buchhaltung'}@{invoice.host}"


def _host(invoice: Invoice) -> Iterator[str]:
    yield invoice.host
    yield f"Which invoice is from {invoice.host}?"


def _company(invoice: Invoice) -> Iterator[str]:
    yield from spellings(invoice.company)


def spellings(name: str) -> Iterator[str]:
    """All that a reader takes for the same name."""
    transcribed = name.translate(TRANSCRIBED)
    bare = unicodedata.normalize("NFKD", name).translate(BARE)
    yield name
    yield name.upper()
    yield transcribed
    yield "".join(filter(str.isascii, bare))
    yield unicodedata.normalize("NFD", name)
    yield f"{name[:3]}\u00ad{name[3:]}"
    yield f"{name[:4]}\u200b{name[4:]}"
    yield f"Was schulden wir {transcribed}?"


BY_INVOICE: Mapping[str, Ask] = MappingProxyType(
    {
        "number": _as_written,
        "number with other separators": _other_separators,
        "number in lower case": _lower_case,
        "number in part": _in_part,
        "number in a long question": _in_a_long_question,
        "number in full-width characters": _full_width,
        "IBAN": _iban,
        "telephone number": _telephone,
        "amount": _amount,
        "date": _date,
        "mail address": _mail,
        "host": _host,
        "company": _company,
    }
)

TECHNICAL: Mapping[str, Callable[[Technical], Iterator[str]]] = MappingProxyType(
    {
        "word in an address": lambda meant: iter([meant.in_url, f"docs/{meant.in_url}"]),
        "tag": lambda meant: iter([meant.tag, f"<{meant.tag}>"]),
        "type parameter": lambda meant: iter([meant.generic, f"List<{meant.generic}>"]),
        "camelCase": lambda meant: iter(
            [
                f"get{meant.camel.capitalize()}Entry",
                f"get_{meant.camel}_entry",
                meant.camel,
                f"get {meant.camel} entry",
                f"get{meant.camel}entry",
            ]
        ),
        "snake_case": lambda meant: iter(
            [
                f"{meant.snake}_max_items",
                f"{meant.snake}MaxItems",
                f"{meant.snake}-max-items",
                f"{meant.snake} max items",
                meant.snake,
            ]
        ),
    }
)


def by_file_name(file: Text) -> Iterator[str]:
    """As a user remembers it."""
    folder, _, name = file.title.rpartition("/")
    stem = name.rpartition(".")[0]
    yield name
    yield stem
    yield file.title
    yield f"{folder.rpartition('/')[2]}/{name}"
    yield f"find the file {name}"
    yield f"finde die Datei {name}"
    yield f"Wo ist die Datei {stem}?"
    yield f"Please open {stem} for me"
    yield name.lower()
    yield unicodedata.normalize("NFD", name)
