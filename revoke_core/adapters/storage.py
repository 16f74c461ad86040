"""Azure Storage clients from the settings, and one translation of everything that can go wrong with them.

The connection string wins over the identity form, as in the Functions host
(https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from azure.data.tables.aio import TableClient, TableServiceClient
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

# Callers wait for these: give up within seconds and say so, rather than hang for the SDK's minutes. With settings of
# the environment each call would first look for a .netrc, in a thread and by a name that enters Python's table of
# interned strings and leaves it: within an hour of a large request that table is rebuilt, 4 MB larger.
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
    """Table and queue clients of one account, made at first use; the SDKs are imported then, too."""

    def __init__(self, *, settings: StorageSettings) -> None:
        self._settings = settings
        self._tables: TableServiceClient | None = None
        self._queues: dict[str, QueueClient] = {}
        self._credentials: list[Any] = []
        self._ready: asyncio.Task[None] | None = None

    def table_service(self) -> TableServiceClient:
        """The account's tables."""
        if self._tables is None:
            from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415 -- kept out of the app's import

            if self._settings.connection_string:
                self._tables = TableServiceClient.from_connection_string(self._settings.connection_string, **_OPTIONS)
            else:
                self._tables = TableServiceClient(
                    endpoint=self._settings.table_uri or "", credential=self._credential(), **_OPTIONS
                )
        return self._tables

    def table(self, name: str) -> TableClient:
        """One table."""
        return self.table_service().get_table_client(name)

    async def row(self, table: str, partition: str, key: str, *, select: list[str] | None) -> Any:
        """One entity with the columns asked for, or ``None`` when it is not there."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- kept out of the app's import

        with answering():
            try:
                return await self.table(table).get_entity(partition, key, select=select)
            except ResourceNotFoundError:
                return None

    def queue(self, name: str) -> QueueClient:
        """One queue."""
        if name not in self._queues:
            from azure.storage.queue.aio import QueueClient  # noqa: PLC0415 -- as above

            if self._settings.connection_string:
                client = QueueClient.from_connection_string(self._settings.connection_string, name, **_OPTIONS)
            else:
                client = QueueClient(
                    self._settings.queue_uri or "", queue_name=name, credential=self._credential(), **_OPTIONS
                )
            self._queues[name] = client
        return self._queues[name]

    async def ready(self) -> None:
        """Make sure that tables and queues exist; asked before every use, done once per process.

        A deployment declares them, so being forbidden to create one is no fault here: the use itself will tell.
        """
        if self._ready is None or (self._ready.done() and self._ready.exception()):
            self._ready = asyncio.create_task(self._create_missing())
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Close the connections."""
        clients: list[Any] = [*self._queues.values(), *self._credentials, *([self._tables] if self._tables else [])]
        await asyncio.gather(*(client.close() for client in clients))

    async def _create_missing(self) -> None:
        from azure.core.exceptions import HttpResponseError, ResourceExistsError  # noqa: PLC0415 -- as above

        async def created(create: Any) -> None:
            try:
                await create
            except ResourceExistsError:
                pass
            except HttpResponseError as problem:
                if problem.status_code not in (401, 403):
                    raise

        with answering():
            await asyncio.gather(
                *(created(self.table(name).create_table()) for name in TABLES),
                *(created(self.queue(name).create_queue()) for name in QUEUES),
            )

    def _credential(self) -> Any:
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 -- heavy

        named: dict[str, Any] = {"client_id": self._settings.client_id} if self._settings.client_id else {}
        made = (
            ManagedIdentityCredential(**named, use_env_settings=False)
            if self._settings.managed_identity
            else DefaultAzureCredential(managed_identity_client_id=self._settings.client_id, use_env_settings=False)
        )
        self._credentials.append(made)
        return made


async def in_lanes(writes: Iterator[Awaitable[Any]], *, lanes: int) -> None:
    """Wait for every write, so many under way at a time; each is made only when its turn has come.

    Many large writes all at once would be the largest thing in a host's memory, and building them would keep everything
    else waiting, the next call to Graph among it.
    """

    async def lane() -> None:
        for write in writes:
            await write

    await asyncio.gather(*(lane() for _ in range(lanes)))


@contextmanager
def answering() -> Iterator[None]:
    """Turn a storage failure that reaches this far into ``Unavailable``; its own text may quote keys and is dropped."""
    from azure.core.exceptions import AzureError  # noqa: PLC0415 -- kept out of the app's import

    try:
        yield
    except AzureError as problem:
        status = getattr(problem, "status_code", None)
        logs.failure("storage_failed", problem, status=status)
        raise Unavailable(
            "The app's storage does not answer, so nothing was accepted. Try again; "
            "GET /api/readiness tells whether table and queue are reachable.",
            retry_after=_RETRY_SECONDS,
        ) from problem
