"""Which language a text is in, and what its words have in common with their other forms."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import Stemmer
import stopwordsiso
from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNKNOWN = ""
"""The language of a text that is too short to tell, or of one that is none."""
SAMPLE_CHARS = 400
"""Enough to tell languages apart; with more, that takes as long as all the rest."""
FEWEST_LETTERS = 20
UNSEEN = 0.1
"""Texts in a language that none were seen in so far: one may have come since."""

_SNOWBALL = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french",
    "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian",
    "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
_WITHOUT_STEMMER = (
    "af", "az", "be", "bg", "bn", "cy", "gl", "gu", "he", "hr", "is", "ja", "ka", "kk", "km", "kn", "ko", "lo", "lv",
    "mk", "ml", "mn", "mr", "ms", "my", "pa", "si", "sk", "sl", "sq", "sw", "te", "th", "tl", "uk", "ur", "uz", "vi",
    "zh",
)  # fmt: skip
COMPOUNDING = frozenset({"da", "de", "fi", "hu", "nl", "no", "sv"})
"""Languages that write nouns together: a word of the last part of another one is about it, too."""
_HEBREW_PREFIXES = re.compile("^[\u05d5\u05d4\u05d1\u05db\u05dc\u05de\u05e9]+(?=\\w{3})")
"""Article, prepositions and conjunctions, which are written together with the word after them."""
LANGUAGES = frozenset({*_SNOWBALL, *_WITHOUT_STEMMER})
"""ISO 639-1. Leaves out the smaller kin of larger languages, for which short texts would be taken."""


def language_of(text: str) -> str:
    """One of `LANGUAGES`, or `UNKNOWN`."""
    sample = text[:SAMPLE_CHARS]
    if sum(map(str.isalpha, sample)) < FEWEST_LETTERS:
        return UNKNOWN
    return str(_identifier().classify(sample)[0])


def likeliest_language(question: str, texts: Mapping[str, int]) -> str:
    """Questions are short: how many texts are in a language counts as well."""
    ranked = [
        (logarithm + math.log(texts.get(language, UNSEEN)), str(language))
        for language, logarithm in _identifier().rank(question[:SAMPLE_CHARS])
    ]
    return max(ranked)[1]


def stemmer(language: str) -> Callable[[Sequence[str]], list[str]]:
    """Takes words in lower case with their accents."""
    if language == "he":
        return lambda words: [_HEBREW_PREFIXES.sub("", word) for word in words]
    name = _SNOWBALL.get(language)
    return list if name is None else _stemmer(name).stemWords


@cache
def _stemmer(name: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(name)


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(sorted(LANGUAGES & set(identifier.labels)))
    return identifier


@cache
def stop_words(language: str) -> frozenset[str]:
    """Words that say little on what a text is about."""
    return frozenset(stopwordsiso.stopwords(language)) if stopwordsiso.has_lang(language) else frozenset()
