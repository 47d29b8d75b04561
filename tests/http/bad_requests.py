"""Requests that no version of Nextcloud sends, and those that need the secret."""

from typing import Any

WHALE = "files__default: 1"

BAD_ACTIONS: list[tuple[str, dict[str, Any], int, str]] = [
    ("/updateAccess", {"op": "allow", "userIds": [], "sourceId": WHALE}, 400, "userIds"),
    ("/updateAccess", {"op": "allow", "userIds": ["", " "], "sourceId": WHALE}, 400, "userIds"),
    ("/updateAccess", {"op": "grant", "userIds": ["bob"], "sourceId": WHALE}, 422, "op"),
    ("/updateAccess", {"op": "deny", "userIds": ["alice"], "sourceId": "1"}, 400, "sourceId"),
    ("/updateAccess", {"op": "deny", "userIds": "alice", "sourceId": WHALE}, 422, "userIds"),
    ("/updateAccess", {"op": "deny", "userIds": ["alice"]}, 422, "sourceId"),
    ("/updateAccess", {"op": "deny", "userIds": ["alice"], "sourceId": WHALE + "\n"}, 400, "sourceId"),
    ("/updateAccessDeclarative", {"userIds": [""], "sourceId": WHALE}, 400, "userIds"),
    ("/updateAccessDeclarative", {"userIds": [None], "sourceId": WHALE}, 400, "userIds"),
    ("/updateAccessDeclarative", {"userIds": ["\ud800"], "sourceId": WHALE}, 400, "userIds"),
    ("/updateAccessDeclarative", {"userIds": ["bob"], "sourceId": 1}, 400, "sourceId"),
    ("/updateAccessDeclarative", {"userIds": ["bob"], "sourceId": None}, 422, "sourceId"),
    ("/updateAccessDeclarative", {"userIds": ["bob"], "sourceId": "files__default: \udfff"}, 422, "sourceId"),
    ("/updateAccessProvider", {"op": "deny", "userIds": ["alice"], "providerId": "default"}, 400, "providerId"),
    ("/updateAccessProvider", {"op": "deny", "userIds": [], "providerId": "files__default"}, 400, "userIds"),
    ("/deleteSources", {"sourceIds": []}, 400, "sourceIds"),
    ("/deleteSources", {"sourceIds": [None, 1.5, True, ["files__default: 1"], " "]}, 400, "sourceIds"),
    ("/deleteSources", {"sourceIds": WHALE}, 422, "sourceIds"),
    ("/deleteProvider", {"providerKey": " "}, 422, "providerKey"),
    ("/deleteUser", {"userId": ""}, 422, "userId"),
    ("/deleteUser", {"userId": None}, 422, "userId"),
    ("/deleteUser", {"userId": True}, 422, "userId"),
    ("/deleteUser", {"userId": 1.5}, 422, "userId"),
    ("/deleteUser", {"userId": "\ud800"}, 422, "userId"),
    ("/deleteProvider", {"providerKey": "\ud800"}, 422, "providerKey"),
    ("/deleteUser", {}, 422, "userId"),
]
"""Path, body, status, and the field that the answer names. None of them changes anything."""

BAD_QUESTIONS: list[tuple[dict[str, Any], int]] = [
    ({"userId": "alice"}, 422),
    ({"query": "whale"}, 422),
    ({"query": " ", "userId": "alice"}, 422),
    ({"query": "whale", "userId": ""}, 422),
    ({"query": "whale", "userId": None}, 422),
    ({"query": "whale", "userId": "\ud800"}, 422),
    ({"query": "whale", "userId": "alice", "scopeType": "source", "scopeList": [None, " ", 1.5]}, 400),
    ({"query": "whale", "userId": "alice", "ctxLimit": 0}, 422),
    ({"query": "whale", "userId": "alice", "scopeType": "planet", "scopeList": ["x"]}, 422),
    ({"query": "whale", "userId": "alice", "scopeType": "source"}, 400),
    ({"query": "whale", "userId": "alice", "scopeType": "provider", "scopeList": []}, 400),
    ({"query": "whale", "userId": "alice", "scopeType": "provider", "scopeList": {}}, 400),
]
"""Body and status."""

QUESTION_PATHS = ["/query", "/docSearch"]

NO_OBJECTS = [b"", b"null", b"7", b"[]", b"{", b'"text"', b"\xff\xfe"]
"""Bodies that are no JSON object."""

JSON_PATHS = [*QUESTION_PATHS, "/updateAccess", "/deleteSources", "/deleteUser"]

NO_UPLOAD_TYPES = ["application/json", "multipart/form-data", ""]
"""Content types of no upload."""

PROTECTED = [
    ("GET", "/"),
    ("GET", "/enabled"),
    ("PUT", "/enabled?enabled=0"),
    ("POST", "/init"),
    ("POST", "/trigger"),
    ("GET", "/downloadLogs"),
    ("PUT", "/loadSources"),
    ("POST", "/query"),
    ("POST", "/docSearch"),
    ("POST", "/deleteUser"),
    ("POST", "/countIndexedDocuments"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing-here"),
    ("POST", "/exapps/context_chat_backend/query"),
]
"""Routes, known or not, that need the secret."""

WRONG_SECRETS = [None, "wrong", "", "123456", "1234"]
"""None: no header at all."""

OPEN_PATHS = ["/heartbeat", "/health/live", "/health/ready", "/metrics"]

NO_ROUTES = [("GET", "/nothing-here", 404), ("GET", "/query", 405), ("POST", "/query/", 404)]
"""Method, path and status."""
