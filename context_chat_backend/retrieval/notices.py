"""What the gateway itself says in the place of an answer, in the language of the question."""

from collections.abc import Mapping

from ..toolkit.indexing.words.languages import language_of

Notice = Mapping[str, str]
"""By language, English always among them."""

NOTHING_FITS: Notice = {
    "en": "Nothing in your documents fits this question.",
    "de": "Nichts in Ihren Dokumenten passt zu dieser Frage.",
    "es": "Nada en sus documentos corresponde a esta pregunta.",
    "fr": "Rien dans vos documents ne correspond à cette question.",
    "it": "Nulla nei suoi documenti corrisponde a questa domanda.",
    "nl": "Niets in uw documenten past bij deze vraag.",
    "pl": "Nic w Twoich dokumentach nie pasuje do tego pytania.",
    "pt": "Nada nos seus documentos corresponde a esta pergunta.",
}
PASSAGES: Notice = {
    "en": "No language model is configured, so this is what your documents say:",
    "de": "Es ist kein Sprachmodell eingerichtet, deshalb hier, was in Ihren Dokumenten steht:",
    "es": "No hay ningún modelo de lenguaje configurado; esto es lo que dicen sus documentos:",
    "fr": "Aucun modèle de langage n'est configuré, voici donc ce que disent vos documents :",
    "it": "Nessun modello linguistico è configurato, perciò ecco che cosa dicono i suoi documenti:",
    "nl": "Er is geen taalmodel ingesteld, dus dit is wat er in uw documenten staat:",
    "pl": "Nie skonfigurowano modelu językowego, więc oto, co mówią Twoje dokumenty:",
    "pt": "Nenhum modelo de linguagem está configurado; eis o que dizem os seus documentos:",
}


def notice(notice: Notice, question: str) -> str:
    """In the language of the question, as far as it is long enough to tell."""
    return notice.get(language_of(question), notice["en"])
