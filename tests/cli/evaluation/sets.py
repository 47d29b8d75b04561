"""Small sets for tests."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from context_chat_backend.cli.evaluation.collection import read_collection
from context_chat_backend.cli.evaluation.run import judged
from context_chat_backend.cli.evaluation.trial import Trial, trial_of

DOCUMENTS = (
    {"_id": "whale", "title": "Blue whale", "text": "The whale swims in the deep sea."},
    {"_id": "bread", "title": "Bread", "text": "Bread is baked from flour and water."},
    {"_id": "comet", "title": "Comet", "text": "A comet has a tail of ice and dust."},
    {"_id": "shark", "title": "Shark", "text": "The shark hunts in the sea at night."},
)
QUESTIONS = (
    {"_id": "1", "text": "who swims in the sea", "answer": "The whale."},
    {"_id": "2", "text": "what is baked from flour", "answer": "Bread is baked from flour."},
)
JUDGEMENTS = (("1", "whale", 2), ("1", "shark", 1), ("2", "bread", 1))


def lines(records: Sequence[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def small_set(folder: Path) -> Path:
    """In the layout of BEIR."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(lines(DOCUMENTS))
    (folder / "queries.jsonl").write_text(lines(QUESTIONS))
    rows = "".join(f"{question}\t{document}\t{grade}\n" for question, document, grade in JUDGEMENTS)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


def small_trial(folder: Path, **options: Any) -> Trial:
    defaults = {"limit": None, "documents": None, "share": 0.5, "titles": "both"}
    return trial_of(read_collection(small_set(folder)), judged, Namespace(**{**defaults, **options}))
