"""Answers: who writes them, and whether that can be reached."""

import httpx

from ..contract import DriverError, Finding, Misconfigured, NotFound
from ..gateway import Plan
from ..nextcloud.client import NextcloudClient
from ..nextcloud.errors import NextcloudError, TryLater
from ..retrieval.models import llm_client
from ..retrieval.settings import AnswerSettings
from ..settings import Settings
from ..toolkit.http import json_object, translate_errors
from .findings import ok, problem, warning

HTTP_SECONDS = 15


async def check_answers(plan: Plan) -> list[Finding]:
    """Who writes answers from documents, and who answers questions without them."""
    findings = [*await check_generator(plan.settings, plan.answers), *cache_findings(plan)]
    if plan.driver.capabilities.answers:
        text = "the backend itself writes answers from documents; what follows is about questions without documents"
        return [ok("answers", text), *findings]
    return findings


def cache_findings(plan: Plan) -> list[Finding]:
    """Nothing where no answers are to be kept."""
    if not plan.answers.answer_cache:
        return []
    if plan.driver.capabilities.shared:
        text = "CC_ANSWER_CACHE has no effect: others may write to this backend, too, and nobody would notice"
        return [warning("answers", text, "Set it to 0, or give the gateway a store of its own.")]
    return [ok("answers", f"{plan.answers.answer_cache:,} are kept until something is written")]


async def check_generator(settings: Settings, answers: AnswerSettings) -> list[Finding]:
    """Whether what writes answers can be reached."""
    match answers.writer(with_nextcloud=settings.nextcloud_url is not None):
        case "openai":
            return [await language_model_finding(answers)]
        case "nextcloud":
            async with NextcloudClient(settings) as ocs:
                return [await text_provider_finding(ocs)]
        case "extractive" if answers.generator == "extractive":
            return [ok("answers", "no language model: passages are shown, as CC_GENERATOR asks for")]
        case "extractive":
            text = "no language model is configured: answers show passages, and without documents there are none"
            return [
                warning(
                    "answers",
                    text,
                    "Set CC_LLM_BASE_URL or NEXTCLOUD_URL, or CC_GENERATOR=extractive if that is intended.",
                )
            ]


async def language_model_finding(answers: AnswerSettings) -> Finding:
    """The server answers and knows the model. Asks for the list of models, which costs no tokens."""
    async with llm_client(answers) as client:
        try:
            with translate_errors(not_found={404, 405}):
                response = await client.get("models", timeout=HTTP_SECONDS)
                response.raise_for_status()
        except NotFound:
            remedy = "Ask a question; if it fails, check CC_LLM_BASE_URL. It usually ends in /v1."
            return warning("answers", "the language model's server answers but does not list its models", remedy)
        except Misconfigured as error:
            return problem("answers", str(error), "Check CC_LLM_BASE_URL and CC_LLM_API_KEY.")
        except DriverError as error:
            return problem("answers", str(error), "Start the language model's server, or check CC_LLM_BASE_URL.")
    return _model_finding(answers.llm_model, response)


def _model_finding(model: str, response: httpx.Response) -> Finding:
    match json_object(response):
        case {"data": [*listed]}:
            names = {item.get("id") for item in listed if isinstance(item, dict)}
        case _:
            names = set()
    if model in names:
        return ok("answers", f"the language model {model} is available")
    text = f"the language model's server does not list {model}"
    return warning(
        "answers", text, "Set CC_LLM_MODEL to a name that the server knows; some accept names that they do not list."
    )


async def text_provider_finding(ocs: NextcloudClient) -> Finding:
    """Nextcloud has an app that provides text processing. Not all versions tell an app that asks for no user."""
    try:
        data = await ocs.call("GET", "/ocs/v2.php/taskprocessing/tasktypes")
    except TryLater as error:
        return problem("answers", str(error), "Check NEXTCLOUD_URL, or set CC_LLM_BASE_URL.")
    except NextcloudError:
        return ok("answers", "Nextcloud's text model writes them; the first question will show whether there is one")
    match data:
        case {"types": {"core:text2text": _}}:
            return ok("answers", "Nextcloud has a text model")
        case _:
            remedy = "Install an app that provides text processing, or set CC_LLM_BASE_URL, or CC_GENERATOR=extractive."
            return problem("answers", "Nextcloud has no text model", remedy)
