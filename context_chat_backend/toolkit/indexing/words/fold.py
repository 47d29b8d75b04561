"""One spelling for what people take for the same letters."""

import re
import unicodedata

_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ŧ": "t"}
)
"""Letters that Unicode does not take apart, though people without such a key type others for them."""


def _ranges(characters: list[int]) -> str:
    """The inside of a character class."""
    runs: list[list[int]] = []
    for character in characters:
        if runs and runs[-1][1] == character - 1:
            runs[-1][1] = character
        else:
            runs.append([character, character])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in runs)


_LIVING_SCRIPTS = range(0x12000)
"""Looking through all of Unicode takes a quarter of a second."""
_MARKS = [code for code in _LIVING_SCRIPTS if unicodedata.category(chr(code)) in {"Mn", "Mc"}]
_ACCENTS = re.compile(f"[{_ranges([code for code in _MARKS if unicodedata.combining(chr(code))])}]")
_INVISIBLE = re.compile(f"[{_ranges([code for code in _LIVING_SCRIPTS if unicodedata.category(chr(code)) == 'Cf'])}]")

_DIGITS = re.compile(
    f"[{_ranges([code for code in _LIVING_SCRIPTS if chr(code).isdecimal() and not chr(code).isascii()])}]"
)
"""Those of other scripts."""

MARKS = _ranges(_MARKS)
"""Belong to the letter before them, which `\\w` does not know: the inside of a character class."""


def visible(text: str) -> str:
    """Without compatibility forms, digits of other scripts and invisible characters (soft hyphens, zero-width
    spaces)."""
    if text.isascii():
        return text
    return _DIGITS.sub(lambda digit: str(int(digit[0])), unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)))


def without_accents(text: str) -> str:
    """Of a text in lower case."""
    if text.isascii():
        return text
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", bare).translate(_UNDECOMPOSED)


_UMLAUT = re.compile("(?<=[aou])e")


def without_umlauts(text: str) -> str:
    """Of a text without accents: also the other way to write them, so that Müller, Mueller and Muller are one."""
    return _UMLAUT.sub("", text)
