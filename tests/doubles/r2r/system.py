"""The routes about accounts and about R2R itself."""

from starlette.responses import JSONResponse, Response

from tests.doubles.r2r.calls import Call, superuser_only
from tests.doubles.r2r.errors import refused
from tests.doubles.r2r.ingestion import DEFAULT_MAX_SIZE, MAX_SIZES
from tests.doubles.r2r.providers import DIMENSION, Providers
from tests.doubles.r2r.store import Clock, Store
from tests.doubles.r2r.tokens import Gate

MAX_DOCUMENTS, MAX_CHUNKS = 10_000_000, 1_000_000_000


class Users:
    def __init__(self, store: Store, clock: Clock, gate: Gate) -> None:
        self._store = store
        self._clock = clock
        self._gate = gate

    def login(self, call: Call) -> dict[str, object]:
        return self._gate.login(call.body.username, call.body.password)

    def refresh(self, call: Call) -> dict[str, object]:
        return self._gate.refresh(call.body)

    def logout(self, call: Call) -> dict[str, object]:
        self._gate.tokens.pop(call.bearer, None)
        return {"message": "Logged out successfully"}

    def me(self, call: Call) -> dict[str, object]:
        account = call.account
        nothing = (
            "verification_code_expiry",
            "name",
            "bio",
            "profile_picture",
            "total_size_in_bytes",
            "num_files",
            "google_id",
            "github_id",
        )
        return {
            "id": str(account.id),
            "email": account.email,
            "is_active": True,
            "is_superuser": account.is_superuser,
            "created_at": self._clock.show(account.created),
            "updated_at": self._clock.show(account.created),
            "is_verified": True,
            "collection_ids": [str(each) for each in account.collection_ids],
            "graph_ids": [],
            "document_ids": [],
            "limits_overrides": {},
            "metadata": {},
            "account_type": "password",
            "hashed_password": "a hash",
            **dict.fromkeys(nothing),
        }

    def limits(self, call: Call) -> dict[str, object]:
        account = call.account
        if call.id != account.id:
            superuser_only(account, "Only the user themselves or a superuser can view these limits.")
        if (owner := next((each for each in self._store.accounts if each.id == call.id), None)) is None:
            raise refused(404, "User not found")
        used = self._gate.used(owner)
        rates = {"global_per_min": self._gate.global_per_minute or 60, "monthly_limit": 10_000}
        effective = rates | {"route_per_min": self._gate.route_per_minute or 20}
        usage = {name: {"used": used, "limit": each, "remaining": each - used} for name, each in rates.items()}
        return {
            "storage_limits": {
                "chunks": _left(MAX_CHUNKS, sum(each.owner_id == owner.id for each in self._store.chunks.values())),
                "documents": _left(
                    MAX_DOCUMENTS, sum(each.owner_id == owner.id for each in self._store.documents.values())
                ),
                "collections": _left(1_000_000, len(owner.collection_ids)),
            },
            "system_defaults": effective,
            "user_overrides": {},
            "effective_limits": effective,
            "usage": usage | {"routes": {}},
        }


def _left(limit: int, used: int) -> dict[str, int]:
    return {"limit": limit, "used": used, "remaining": limit - used}


class System:
    def __init__(self, store: Store, clock: Clock, providers: Providers) -> None:
        self._store = store
        self._started = clock.now()
        self._clock = clock
        self._providers = providers

    def health(self, call: Call) -> dict[str, object]:
        return {"message": "ok"}

    def openapi(self, call: Call) -> Response:
        """Without an envelope, and, as the real one, without R2R's version."""
        info = {"title": "R2R Application API", "version": "1.0.0"}
        return JSONResponse({"openapi": "3.1.0", "info": info, "paths": {}, "components": {}})

    def settings(self, call: Call) -> dict[str, object]:
        """A small part of the real ones."""
        superuser_only(call.account, "Only a superuser can call the `system/settings` endpoint.")
        superuser = self._store.accounts[0]
        return {
            "config": {
                "app": {
                    "project_name": "double",
                    "default_max_documents_per_user": MAX_DOCUMENTS,
                    "default_max_chunks_per_user": MAX_CHUNKS,
                    "default_max_collections_per_user": 1_000_000,
                    "default_max_upload_size": DEFAULT_MAX_SIZE,
                    "max_upload_size_by_type": MAX_SIZES,
                },
                "auth": {
                    "provider": "r2r",
                    "require_authentication": True,
                    "default_admin_email": superuser.email,
                    "default_admin_password": superuser.password,
                },
                "embedding": {"provider": "litellm", "base_dimension": DIMENSION},
                "orchestration": {"provider": "simple"},
            },
            "prompts": {"results": []},
            "r2r_project_name": "double",
        }

    def status(self, call: Call) -> dict[str, object]:
        superuser_only(call.account, "Only an authorized user can call the `system/status` endpoint.")
        uptime = self._clock.now() - self._started
        started = self._clock.show(self._started)
        return {"start_time": started, "uptime_seconds": uptime, "cpu_usage": 1.0, "memory_usage": 1.0}

    def embedding(self, call: Call) -> list[float]:
        self._providers.check_embeddings_of_search()
        return self._providers.vector(call.body)

    def indices(self, call: Call) -> Response:
        """Those that R2R makes itself; there is no vector index among them."""
        names = ("collection_ids", "document_id", "owner_id")
        counters = ("size_in_bytes", "row_estimate", "number_of_scans", "tuples_read", "tuples_fetched")
        indices = [
            {
                "name": f"idx_vectors_{name}",
                "table_name": "chunks",
                "definition": f"CREATE INDEX idx_vectors_{name} ON double.chunks ({name})",
                **dict.fromkeys(counters, 0),
            }
            for name in names
        ]
        shown = {"indices": [{"index": each} for each in indices]}
        return JSONResponse({"results": shown, "total_entries": len(indices)})
