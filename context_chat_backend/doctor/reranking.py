"""Reranking: whether what computes the scores works, asked as a search asks it."""

import anyio

from ..contract import DriverError, Finding, Misconfigured
from ..gateway import Plan
from ..retrieval.rerankers import make_reranker
from ..retrieval.settings import RerankSettings
from .findings import ok, problem, warning

SUBJECT = "reranking"
QUESTION = "How large is a whale?"
TEXT = "whale " * 100
"""As long as a usual chunk: only so the time that it takes says something."""


async def check_reranking(plan: Plan) -> list[Finding]:
    """Nothing where nothing is set up."""
    if "rerank" in plan.retrieval.stages:
        return [await reranker_finding(plan.rerank)]
    if plan.rerank.is_set:
        text = "a reranker is set up, but CC_STAGES does not name rerank, so it is not used"
        return [
            warning(SUBJECT, text, "Add rerank to CC_STAGES, or remove CC_RERANK_BASE_URL or CC_RERANK_MODEL_PATH.")
        ]
    return []


async def reranker_finding(settings: RerankSettings) -> Finding:
    """It scores as much text as a search sends, in time. With a service that is paid for this costs as much as a
    question does."""
    try:
        async with make_reranker(settings) as reranker:
            begin = anyio.current_time()
            with anyio.fail_after(settings.timeout):
                await reranker.scores(QUESTION, [TEXT] * settings.candidates)
            seconds = anyio.current_time() - begin
    except TimeoutError:
        text = f"the reranker took longer than {settings.timeout:g} s"
        return problem(SUBJECT, text, "Lower CC_RERANK_CANDIDATES, raise CC_RERANK_TIMEOUT, or take a smaller model.")
    except Misconfigured as error:
        return problem(SUBJECT, str(error), _remedy(settings))
    except DriverError as error:
        return problem(SUBJECT, str(error), f"Start the reranker. {_remedy(settings)}")
    return ok(SUBJECT, f"{settings.candidates} texts are scored in {seconds:.1f} s by {_name(settings)}")


def _name(settings: RerankSettings) -> str:
    return f"a server with the API of {settings.api}" if settings.base_url is not None else str(settings.model_path)


def _remedy(settings: RerankSettings) -> str:
    if settings.base_url is None:
        return "Check CC_RERANK_MODEL_PATH; docs/operations.md says what the folder has to hold."
    return (
        "Check CC_RERANK_API, CC_RERANK_BASE_URL (it usually ends in /v1 for jina, in /v2 for cohere), "
        "CC_RERANK_API_KEY, CC_RERANK_MODEL and CC_RERANK_BATCH_SIZE."
    )
