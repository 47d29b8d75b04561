"""The table of routes."""

from collections.abc import Sequence

from tests.doubles.sim.appapi import AppApi
from tests.doubles.sim.files import Files
from tests.doubles.sim.queues import Queues
from tests.doubles.sim.router import APP_API, CONTEXT_CHAT, Route
from tests.doubles.sim.scopes import Scopes
from tests.doubles.sim.task_routes import ClientRoutes, WorkerRoutes
from tests.doubles.sim.tasks import BATCHES, CONSUMER, STREAMING

DOCUMENTS, ACTIONS = f"{CONTEXT_CHAT}/queues/documents/", f"{CONTEXT_CHAT}/queues/actions/"
TASKS = "/taskprocessing"
WORKER, CONSUMED = f"{TASKS}/tasks_provider", f"{TASKS}/tasks_consumer"
WISH = "input type appId customId webhookUri webhookMethod includeWatermark"
RESULT = "taskId output errorMessage userFacingErrorMessage"
REGISTRATION = f"{APP_API}/api/v1/ai_provider/task_processing"


def context_chat_routes(queues: Queues, files: Files, scopes: Scopes) -> Sequence[Route]:
    return [
        Route("GET", DOCUMENTS, "exapp", queues.documents, "n"),
        Route("DELETE", DOCUMENTS, "exapp", queues.acknowledge_documents, "files content_providers"),
        Route("GET", ACTIONS, "exapp", queues.actions, "n"),
        Route("DELETE", ACTIONS, "exapp", queues.acknowledge_actions, "actions"),
        Route("GET", f"{DOCUMENTS}stats", "admin", queues.refuse),
        Route("GET", f"{ACTIONS}stats", "admin", queues.refuse),
        Route("GET", f"{CONTEXT_CHAT}/files/{{fileId}}", "exapp", files.content, "userId"),
        Route("POST", f"{CONTEXT_CHAT}/resolve_scope_list", "exapp", scopes.resolve, "source_ids userId"),
        Route("POST", f"{CONTEXT_CHAT}/enrich_sources", "exapp", scopes.enrich, "sources userId"),
    ]


def task_routes(worker: WorkerRoutes, client: ClientRoutes) -> Sequence[Route]:
    types = "providerIds taskTypeIds"
    own = f"{WORKER}/{{taskId}}"
    return [
        Route("GET", f"{WORKER}/next", "exapp", worker.next, types),
        Route("GET", f"{WORKER}/next_batch", "exapp", worker.next_batch, f"{types} numberOfTasks", BATCHES),
        Route("POST", f"{own}/progress", "exapp", worker.progress, "taskId progress"),
        Route("POST", f"{own}/result", "exapp", worker.result, RESULT),
        Route("POST", f"{own}/stream-result", "exapp", worker.stream, "taskId output", STREAMING),
        Route("GET", f"{TASKS}/tasktypes", "user", client.types),
        Route("POST", f"{TASKS}/schedule", "user", client.schedule_as_user, f"{WISH} preferStreaming", STREAMING),
        Route("POST", f"{TASKS}/schedule", "user", client.schedule_as_user, WISH),
        Route("GET", f"{TASKS}/task/{{id}}", "user", client.task),
        Route("DELETE", f"{TASKS}/task/{{id}}", "user", client.delete),
        Route("POST", f"{TASKS}/tasks/{{taskId}}/cancel", "user", client.cancel),
        Route("GET", f"{CONSUMED}/tasktypes", "exapp", client.types, "", CONSUMER),
        Route("POST", f"{CONSUMED}/schedule", "exapp", client.schedule, f"{WISH} preferStreaming", STREAMING),
        Route("POST", f"{CONSUMED}/schedule", "exapp", client.schedule, WISH, CONSUMER),
        Route("GET", f"{CONSUMED}/task/{{id}}", "exapp", client.task, "", CONSUMER),
        Route("DELETE", f"{CONSUMED}/task/{{id}}", "exapp", client.delete, "", CONSUMER),
        Route("POST", f"{CONSUMED}/tasks/{{taskId}}/cancel", "exapp", client.cancel, "", CONSUMER),
    ]


def app_api_routes(app_api: AppApi) -> Sequence[Route]:
    return [
        Route("PUT", f"{APP_API}/ex-app/status", "appapi", app_api.report_progress, "progress error"),
        Route("PUT", f"{APP_API}/apps/status/{{appId}}", "appapi", app_api.report_progress, "progress error"),
        Route("GET", f"{APP_API}/ex-app/state", "appapi", app_api.state),
        Route("POST", REGISTRATION, "appapi", app_api.register, "provider customTaskType"),
        Route("DELETE", REGISTRATION, "appapi", app_api.unregister, "name"),
        Route("GET", REGISTRATION, "appapi", app_api.provider, "name"),
        Route("POST", f"{APP_API}/api/v1/log", "appapi", app_api.log, "level message"),
        Route("GET", "/cloud/capabilities", "open", app_api.capabilities),
    ]
