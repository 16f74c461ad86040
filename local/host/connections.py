"""Queue clients from a binding's connection name, read as the storage extension reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from azure.storage.queue.aio import QueueClient

from local.host.runtime import AppFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30


class Connections:
    """Opens queue clients and closes them all at the end."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._queues: dict[tuple[str, str], QueueClient] = {}
        self._credentials: dict[str, Any] = {}

    def queue(self, connection: str | None, name: str) -> QueueClient:
        """A client for the setting ``X``, else ``AzureWebJobsX``: a connection string or the identity form."""
        connection = connection or "AzureWebJobsStorage"
        found = self._queues.get((connection, name))
        if found is None:
            found = self._queues[connection, name] = self._opened(connection, name)
        return found

    async def close(self) -> None:
        """Close what was opened."""
        for client in (*self._queues.values(), *self._credentials.values()):
            await client.close()

    def _opened(self, connection: str, queue: str) -> QueueClient:
        # The SDK's own pauses between tries begin at 15 s; a developer restarts an emulator in less. The storage is on
        # this machine, or named in a setting: no proxy lies between.
        options: dict[str, Any] = {
            "use_env_settings": False,
            "initial_backoff": 1,
            "increment_base": 2,
            "retry_total": 2,
            "connection_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
        }
        for name in (connection, f"AzureWebJobs{connection}"):
            if value := self._environment.get(name):
                try:
                    return QueueClient.from_connection_string(value, queue, **options)
                except ValueError as problem:
                    raise AppFailedError(f"The setting {name} is not a connection string: {problem}") from problem
            uri = self._environment.get(f"{name}__queueServiceUri") or self._environment.get(f"{name}__serviceUri")
            account = self._environment.get(f"{name}__accountName")
            if uri or account:
                address = uri or f"https://{account}.queue.core.windows.net"
                return QueueClient(address, queue_name=queue, credential=self._credential(name), **options)
        raise AppFailedError(
            f"The queue {queue!r} needs the setting {connection} (connection string or identity form)."
        )

    def _credential(self, name: str) -> Any:
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 -- heavy, rare

        if name not in self._credentials:
            client_id = self._environment.get(f"{name}__clientId")
            managed = self._environment.get(f"{name}__credential", "").lower() == "managedidentity"
            self._credentials[name] = (
                ManagedIdentityCredential(client_id=client_id)
                if managed
                else DefaultAzureCredential(managed_identity_client_id=client_id)
            )
        return self._credentials[name]
