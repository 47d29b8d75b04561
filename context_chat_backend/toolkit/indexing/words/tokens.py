"""The tokens of texts and questions: what the one is found by, and the other looks for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .dates import dates, is_day
from .fold import visible, without_accents, without_umlauts
from .identifiers import UNSPACED, Compound, compounds, is_distinctive, name, names, paths, separated, signs, windows
from .languages import COMPOUNDING, stemmer, stop_words

PREFIX = "~"
"""First character of a token for the beginning of a word: it finds other forms of it, whatever the language."""
PREFIX_LETTERS = 6
"""5 to 7 were tried on twelve languages."""


ENDING = "<"
"""First character of a token for the end of a word."""
ENDING_LETTERS = (6, 4)
BEFORE_ENDING = 3
"""Letters of the shortest first part of a compound word."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Each list holds a token as often as it occurs."""

    words: list[str]
    """Stems, beginnings of words, and pairs of characters of scripts without blanks."""
    slight: list[str]
    """What says little, though a text of nothing else is found by it, too: stop words as they are, single
    characters that may be words, and ends of words."""
    identifiers: list[str]
    """Each once. In a question with what may be one among its words."""
    named: list[str]
    """Those identifiers that show which text is meant, as they are written and in no part."""
    distinctive: list[str]
    """All identifiers that show which text is meant, longest first."""
    coded: list[str]
    """Those of the words that are parts of numbers and codes."""


def text_tokens(title: str, text: str, language: str) -> Tokens:
    """Of a text that is stored, and its title."""
    shown = visible(f"{title}\n{text}")
    found = compounds(shown)
    return _tokens(shown, found, language, [*name(title), *paths(title), *separated(found)], _endings)


def question_tokens(text: str, language: str) -> Tokens:
    """Of a question: its words may also be the parts of an identifier, whatever stands between them."""
    shown = visible(text)
    found = compounds(shown)
    joined = [*names(found, stop_words(language)), *windows(found), *separated(found)]
    return _tokens(shown, found, language, joined, _whole_ending)


def _tokens(
    shown: str,
    found: Sequence[Compound],
    language: str,
    joined: Iterable[str],
    endings: Callable[[str], Iterable[str]],
) -> Tokens:
    words = [word for compound in found for word in compound.words]
    coded = [word for compound in found if compound.has_digits for word in compound.words]
    stops = stop_words(language)
    marks = [*joined, *(token for compound in found for token in compound.identifiers())]
    written = [token for compound in found for token in compound.distinctive()]
    days = list(dates(shown.lower()))
    named = [*written, *filter(is_day, days)]
    telling = [word for word in words if word not in stops]
    spaced = [word for word in telling if word.isascii() or not UNSPACED.match(word)]
    stems = _each(without_accents, stemmer(language)(spaced))
    ends = [ending for stem in stems for ending in endings(stem)] if language in COMPOUNDING else []
    unspaced = [without_accents(word) for word in telling if not word.isascii() and UNSPACED.match(word)]
    return Tokens(
        words=[token for token in [*stems, *_beginnings(spaced), *_pairs(unspaced)] if token not in {"", PREFIX}],
        slight=[*_each(without_accents, [word for word in words if word in stops]), *ends, *signs(shown)],
        identifiers=list(dict.fromkeys([*marks, *days])),
        named=list(dict.fromkeys(named)),
        distinctive=list(dict.fromkeys([*filter(is_distinctive, marks), *named])),
        coded=[*_each(without_accents, stemmer(language)(coded)), *_beginnings(coded)],
    )


def _beginnings(words: Sequence[str]) -> list[str]:
    folded = _each(lambda text: without_umlauts(without_accents(text)), words)
    return [PREFIX + word[:PREFIX_LETTERS] for word in folded]


def _endings(stem: str) -> list[str]:
    """Of what may be a compound word."""
    return [ENDING + stem[-letters:] for letters in ENDING_LETTERS if len(stem) >= letters + BEFORE_ENDING]


def _whole_ending(stem: str) -> list[str]:
    """The longest that compound words with this one have."""
    return [ENDING + stem[-letters:] for letters in ENDING_LETTERS if len(stem) >= letters][:1]


def _each(change: Callable[[str], str], words: Sequence[str]) -> list[str]:
    """All in one call, which is several times as fast as one for each."""
    return change("\n".join(words)).split("\n") if words else []


def _pairs(runs: Iterable[str]) -> list[str]:
    return [first + second for run in runs for first, second in pairwise(run)]
