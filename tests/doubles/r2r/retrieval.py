"""Search by word overlap. As in a vector search, a chunk that passes the filter is a candidate even with score 0."""

import re
from collections.abc import Sequence
from typing import Any

from tests.doubles.r2r.calls import Call
from tests.doubles.r2r.errors import failed, refused, wrong_driver
from tests.doubles.r2r.filters import search_filter
from tests.doubles.r2r.providers import Providers
from tests.doubles.r2r.schemas import Rag, Search
from tests.doubles.r2r.store import Account, Chunk, Store

QUESTION_CHARACTERS = 20_000
"""The real server takes any number, and is busy with nothing else for a minute when there are many."""
NO_ANSWER = "I do not know; the context holds no answer."


class Retrieval:
    def __init__(self, store: Store, providers: Providers) -> None:
        self._store = store
        self._providers = providers

    def search(self, call: Call) -> dict[str, Any]:
        body: Search = call.body
        hits = self._find(call.account, body, "search_app")
        if not body.query:
            raise refused(400, "Query cannot be empty")
        self._providers.check_embeddings_of_search()
        return _results(hits)

    def rag(self, call: Call) -> dict[str, Any]:
        """The model is called whatever was found, also with nothing."""
        body: Rag = call.body
        hits = self._find(call.account, body, "rag_app")
        self._providers.check_embeddings_of_rag()
        self._providers.check_chat(f"rag: {body.query}", "rag_app", "Internal RAG Error - ")
        answer = f"{hits[0]['text'].split('. ')[0]} [{hits[0]['id'][:7]}]" if hits else NO_ANSWER
        return {
            "generated_answer": answer,
            "search_results": _results(hits),
            "citations": [_citation(hit) for hit in hits[:1]],
            "metadata": _completion(len(self._providers.chat_calls), answer),
            "completion": answer,
        }

    def _find(self, account: Account, body: Search, endpoint: str) -> list[dict[str, Any]]:
        if len(body.query) > QUESTION_CHARACTERS:
            raise wrong_driver(f"more than {QUESTION_CHARACTERS} characters block the real server", "body", "query")
        settings = body.search_settings
        matches = search_filter(settings.filters, endpoint)
        if not settings.use_semantic_search and not settings.use_hybrid_search:
            message = "At least one of use_fulltext_search or use_semantic_search must be True"
            raise failed(endpoint, message, "ValueError")
        if settings.use_hybrid_search and settings.limit > settings.hybrid_settings.full_text_limit:
            message = "The `full_text_limit` must be greater than or equal to the `limit`."
            raise failed(endpoint, message, "ValueError")
        found = [each for each in self._store.chunks.values() if _may_see(account, each) and matches(each)]
        found.sort(key=lambda chunk: -_overlap(body.query, chunk.text))
        page = found[settings.offset : settings.offset + settings.limit]
        return _fused(body, found, page) if settings.use_hybrid_search else [_hit(body, each) for each in page]


def _may_see(account: Account, chunk: Chunk) -> bool:
    own = chunk.owner_id == account.id or not set(account.collection_ids).isdisjoint(chunk.collection_ids)
    return account.is_superuser or own


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _overlap(query: str, text: str) -> float:
    """The part of the query's words that the text has."""
    wanted = _words(query)
    return len(wanted & _words(text)) / max(1, len(wanted))


def _hit(body: Search, chunk: Chunk) -> dict[str, Any]:
    score = _overlap(body.query, chunk.text) if body.search_settings.include_scores else -1.0
    return {
        "id": str(chunk.id),
        "document_id": str(chunk.document_id),
        "owner_id": str(chunk.owner_id),
        "collection_ids": [str(each) for each in chunk.collection_ids],
        "score": score,
        "text": chunk.text,
        "metadata": chunk.metadata | {"associated_query": body.query},
    }


def _fused(body: Search, found: Sequence[Chunk], page: Sequence[Chunk]) -> list[dict[str, Any]]:
    """Reciprocal ranks. The words decide both ranks here, so the order stays; what has none of them ranks last."""
    settings = body.search_settings.hybrid_settings
    hits = []
    for chunk in page:
        rank = found.index(chunk) + 1
        text_rank = rank if _overlap(body.query, chunk.text) else settings.full_text_limit
        weighted = settings.semantic_weight / (settings.rrf_k + rank) + settings.full_text_weight / (
            settings.rrf_k + text_rank
        )
        hit = _hit(body, chunk)
        hit["score"] = weighted / (settings.semantic_weight + settings.full_text_weight)
        hit["metadata"] |= {"semantic_rank": rank, "full_text_rank": text_rank}
        hits.append(hit)
    return hits


def _results(hits: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "chunk_search_results": hits,
        "graph_search_results": [],
        "web_page_search_results": None,
        "web_search_results": None,
        "document_search_results": None,
        "generic_tool_result": None,
    }


def _citation(hit: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": hit["id"][:7],
        "object": "citation",
        "is_new": True,
        "span": None,
        "source_type": None,
        "payload": hit,
    }


def _completion(number: int, answer: str) -> dict[str, Any]:
    """An OpenAI answer with the text taken out."""
    message = dict.fromkeys(("refusal", "function_call", "tool_calls", "structured_content")) | {"role": "assistant"}
    tokens = len(answer) // 4
    return {
        "id": f"chatcmpl-{number}",
        "choices": [{"finish_reason": "stop", "index": 0, "message": message}],
        "created": 1_700_000_000,
        "model": "double-chat",
        "object": "chat.completion",
        "service_tier": None,
        "system_fingerprint": None,
        "usage": {
            "completion_tokens": tokens,
            "prompt_tokens": 100,
            "total_tokens": tokens + 100,
            "completion_tokens_details": None,
            "prompt_tokens_details": None,
        },
    }
