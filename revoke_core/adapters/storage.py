"""Azure Storage clients from the settings, and one translation of every failure of storage.

The connection string wins over the identity form, as in the Functions host
(https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError

from revoke_core import logs
from revoke_core.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.data.tables.aio import TableClient
    from azure.storage.queue.aio import QueueClient

    from revoke_core.settings import StorageSettings

REQUESTS_TABLE: Final = "Revocations"
USERS_TABLE: Final = "RevocationUsers"
INDEX_TABLE: Final = "RevocationIndex"
STATE_TABLE: Final = "RevocationState"
TABLES: Final = (REQUESTS_TABLE, USERS_TABLE, INDEX_TABLE, STATE_TABLE)

DOOR_QUEUE: Final = "revocation-requests"
WORK_QUEUE: Final = "revocation-work"
POISON: Final = "-poison"
QUEUES: Final = (DOOR_QUEUE, WORK_QUEUE, DOOR_QUEUE + POISON, WORK_QUEUE + POISON)

# A caller waits for these: give up within seconds instead of the SDK's minutes. With ``use_env_settings`` each call
# would look for a .netrc first, in a thread and by a name that enters Python's table of interned strings and leaves
# it: within an hour of a large request that table is rebuilt, 4 MB larger.
_OPTIONS: Final[dict[str, Any]] = {
    "use_env_settings": False,
    "retry_total": 3,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 2,
    "connection_timeout": 3,
    "read_timeout": 10,
}
_RETRY_SECONDS: Final = 10


class Storage:
    """Table and queue clients of one account, made at first use."""

    def __init__(self, *, settings: StorageSettings) -> None:
        self._settings = settings
        self._tables: dict[str, TableClient] = {}
        self._queues: dict[str, QueueClient] = {}
        self._identity: Any = None
        self._ready: asyncio.Task[None] | None = None

    def table(self, name: str) -> TableClient:
        """One table."""
        if name not in self._tables:
            from revoke_core.adapters.tables.transaction import TransactionClient  # noqa: PLC0415 -- as the queue's

            if text := self._settings.connection_string:
                client = TransactionClient.from_connection_string(text, name, **_OPTIONS)
            else:
                endpoint = self._settings.table_uri or ""
                client = TransactionClient(endpoint, name, credential=self._credential(), **_OPTIONS)
            self._tables[name] = client
        return self._tables[name]

    def queue(self, name: str) -> QueueClient:
        """One queue."""
        if name not in self._queues:
            from azure.storage.queue.aio import QueueClient  # noqa: PLC0415 -- kept out of the app's import

            if text := self._settings.connection_string:
                client = QueueClient.from_connection_string(text, name, **_OPTIONS)
            else:
                uri = self._settings.queue_uri or ""
                client = QueueClient(uri, queue_name=name, credential=self._credential(), **_OPTIONS)
            self._queues[name] = client
        return self._queues[name]

    async def ready(self) -> None:
        """Create the tables and queues that are missing; callers await it before every use, it works once per process.

        A deployment declares them, so a 403 here is no fault: the use itself fails if one is really missing.
        """
        if self._ready is None or (self._ready.done() and self._ready.exception()):
            self._ready = asyncio.create_task(self._create_missing())
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Close the connections."""
        clients: list[Any] = [*self._tables.values(), *self._queues.values()]
        clients += [self._identity] if self._identity else []
        await asyncio.gather(*(client.close() for client in clients))

    async def _create_missing(self) -> None:
        async def create(creation: Any) -> None:
            try:
                await creation
            except ResourceExistsError:
                pass
            except HttpResponseError as problem:
                if problem.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                    raise

        with raise_unavailable():
            await asyncio.gather(
                *(create(self.table(name).create_table()) for name in TABLES),
                *(create(self.queue(name).create_queue()) for name in QUEUES),
            )

    def _credential(self) -> Any:
        """One for all clients: each would ask the identity for a token of its own."""
        if self._identity is not None:
            return self._identity
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 -- heavy

        client_id = self._settings.client_id
        named: dict[str, Any] = {"client_id": client_id} if client_id else {}
        self._identity = (
            ManagedIdentityCredential(**named, use_env_settings=False)
            if self._settings.managed_identity
            else DefaultAzureCredential(managed_identity_client_id=client_id, use_env_settings=False)
        )
        return self._identity


@contextmanager
def raise_unavailable() -> Iterator[None]:
    """Turn a failure of storage into ``Unavailable``; the failure's own text may quote keys and is dropped."""
    try:
        yield
    except AzureError as problem:
        logs.failure("storage_failed", problem, status=getattr(problem, "status_code", None))
        raise Unavailable(
            "The app's storage does not answer. Repeat the call with the same Idempotency-Key: whatever was accepted "
            "is not accepted twice. GET /api/readiness tells whether table and queue are reachable.",
            retry_after=_RETRY_SECONDS,
        ) from problem
