"""The recorded requests and answers of R2R 3.6.6, `tests/golden/r2r`, to be sent again to a running one."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

FOLDER = Path(__file__).parents[2] / "golden" / "r2r"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Replay:
    """Sends recorded requests with the credentials of a client, and compares the answers.

    The same: status; media type; fields and kinds of values; of an error all of the text. An id of the recording stands
    for one of the server: for what it was found to be in an earlier answer, else for a new one.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self._names: dict[str, str] = {}

    def know(self, recorded: str, present: str) -> None:
        """Say what a text in the recordings stands for."""
        self._names[recorded] = present

    def here(self, recorded_id: str) -> str:
        """What an id of the recordings stands for."""
        return self._names.setdefault(recorded_id, str(uuid.uuid4()))

    def __call__(self, name: str) -> Any:
        """The body of the answer."""
        sample = load_sample(name)
        response = self._send(self._translated(sample["request"]))
        expected = sample["response"]
        assert response.status_code == expected["status"], response.text
        if "headers" in expected:
            assert response.headers["Content-Type"] == expected["headers"]["content-type"]
        body = response.json()
        differences = [*_differences(expected["body"], body)]
        assert not differences, f"{differences} in {body}"
        self._learn(expected["body"], body)
        if response.is_error:
            assert body == self._translated(expected["body"])
        return body

    def _send(self, request: dict[str, Any]) -> httpx.Response:
        files = {
            name: (file["filename"], file["content"], file["content_type"])
            for name, file in request.get("files", {}).items()
        }
        arguments = {name: request[name] for name in ("params", "json", "data") if name in request}
        return self.client.request(request["method"], request["path"], files=files or None, **arguments)

    def _translated(self, value: Any) -> Any:
        """With the ids of here."""
        text = _UUID.sub(lambda found: self.here(found[0]), json.dumps(value))
        for recorded, present in self._names.items():
            text = text.replace(json.dumps(recorded), json.dumps(present))
        return json.loads(text)

    def _learn(self, recorded: Any, present: Any) -> None:
        """Which ids stand at the same places."""
        match recorded, present:
            case dict(), dict():
                for key in recorded.keys() & present.keys():
                    self._learn(recorded[key], present[key])
            case [first], [other]:
                self._learn(first, other)
            case str(), str() if _kind(recorded) == _kind(present) == "uuid":
                self._names.setdefault(recorded, present)


def load_sample(name: str) -> dict[str, Any]:
    """Skips the test if there are no recordings at all."""
    if not FOLDER.is_dir():
        pytest.skip(f"no recordings of R2R in {FOLDER}: NOTHING was compared with them")
    sample: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return sample


def _differences(recorded: Any, present: Any, at: str = "body") -> Iterator[str]:
    """What is not the same in fields and kinds of values. In a list of other length all are like the first."""
    match recorded, present:
        case dict(), dict():
            if recorded.keys() != present.keys():
                yield f"{at}: only one has {sorted(recorded.keys() ^ present.keys())}"
            for key in recorded.keys() & present.keys():
                yield from _differences(recorded[key], present[key], f"{at}.{key}")
        case list(), list():
            if bool(recorded) != bool(present):
                yield f"{at}: {len(recorded)} entries became {len(present)}"
            entries = recorded if len(recorded) == len(present) else recorded[:1] * len(present)
            for index, pair in enumerate(zip(entries, present, strict=False)):
                yield from _differences(*pair, f"{at}[{index}]")
        case _ if _kind(recorded) != _kind(present):
            yield f"{at}: {_kind(recorded)} became {_kind(present)}"


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "uuid" if _UUID.fullmatch(value) else "time" if _TIME.fullmatch(value) else "text"
    return "number" if type(value) in {int, float} else type(value).__name__
