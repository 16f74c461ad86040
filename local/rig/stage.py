"""The kit with a proxy in front of every server: tenant and storage stay, hosts come and go on the same port."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout
from azure.data.tables.aio import TableServiceClient

from local.processes import Child, start
from local.rig.proxy import Proxy
from local.rig.rules import Watch
from local.storage import connection_string
from local.up import host_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

KEY: Final = "a-key-of-this-machine-only"
_CALL_SECONDS: Final = 240.0


@dataclass(kw_only=True)
class Seat:
    """One host with proxies of its own; ``watch`` is shown all it says to storage and Graph."""

    environment: Mapping[str, str]
    proxies: tuple[Proxy, ...]
    watch: Watch
    on_line: Callable[[str], None] | None = None
    port: int = 0
    child: Child | None = None

    @property
    def root(self) -> str:
        """The host's own root."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The host's process id."""
        if self.child is None:
            raise RuntimeError("the host has not been started")
        return self.child.pid

    async def start(self) -> None:
        """Start the host, on the port it had before."""
        arguments = ["host", "--port", str(self.port), "--json"]
        self.child = await start("host", arguments, environment=self.environment, on_line=self.on_line)
        self.port = urlsplit(self.child.ready["functions"]).port or 0

    def kill(self) -> None:
        """End the host at once, as ``kill -9`` does."""
        os.kill(self.pid, signal.SIGKILL)

    async def gone(self) -> int:
        """Wait for the end of a host that has been killed; its exit code."""
        return await self.child.stop(signal.SIGKILL) if self.child else 0

    async def stop(self) -> int:
        """Stop the host as the platform does; its exit code."""
        return await self.child.stop() if self.child else 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Everything running: the truth is read here, past the proxies."""

    seats: tuple[Seat, ...]
    graph: str
    identity: tuple[str, str]
    connection: str
    session: ClientSession
    tables: TableServiceClient
    parts: tuple[Child, ...] = field(repr=False)

    @property
    def seat(self) -> Seat:
        """The only host, or the first."""
        return self.seats[0]

    async def sim(self, route: str, content: Any = None) -> Any:
        """Ask the simulator's control routes; with ``content``, change something."""
        method = "GET" if content is None else "POST"
        async with self.session.request(method, f"{self.graph}/_sim/{route}", json=content) as answer:
            answer.raise_for_status()
            return await answer.json() if answer.content_type == "application/json" else None

    async def api(
        self, method: str, path: str, content: Any = None, *, seat: Seat | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Call the app; status and JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{(seat or self.seat).root}/api/{path}"
        async with self.session.request(method, url, json=content, headers={"x-functions-key": KEY} | named) as answer:
            return answer.status, await answer.json(content_type=None)


@asynccontextmanager
async def stage(
    *,
    users: int,
    config: str = "{}",
    settings: Mapping[str, str] | None = None,
    hosts: int = 1,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Stage]:
    """Tenant, storage and hosts while the context lasts; ``ChildFailedError`` when one does not get ready.

    Args:
        users: bulk users in the tenant.
        config: the tenant's configuration, as for ``python -m local tenant --config``.
        settings: settings of the app, over those of this process.
        hosts: host processes on the same storage.
        on_line: gets the hosts' log.
    """
    async with AsyncExitStack() as stack:
        tenant, storage = await asyncio.gather(
            _part(stack, "tenant", "--port", "0", "--users", str(users), "--config", config),
            _part(stack, "storage", "--queue-port", "0", "--table-port", "0"),
        )
        connection = storage.ready["connectionString"]
        session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=_CALL_SECONDS)))
        tables = await stack.enter_async_context(TableServiceClient.from_connection_string(connection))
        seats = []
        for _ in range(hosts):
            seat = await _seat(stack, tenant.ready, connection, settings or {})
            seat.on_line = on_line
            stack.push_async_callback(seat.stop)
            await seat.start()
            seats.append(seat)
        yield Stage(
            seats=tuple(seats),
            graph=tenant.ready["graph"],
            identity=(tenant.ready["identityEndpoint"], tenant.ready["identityHeader"]),
            connection=connection,
            session=session,
            tables=tables,
            parts=(tenant, storage),
        )


async def _part(stack: AsyncExitStack, name: str, *arguments: str) -> Child:
    child = await start(name, [name, *arguments, "--json"])
    stack.push_async_callback(child.stop)
    return child


async def _seat(stack: AsyncExitStack, tenant: Mapping[str, Any], connection: str, settings: Mapping[str, str]) -> Seat:
    watch = Watch()
    parts = dict(part.split("=", 1) for part in connection.split(";") if part)
    graph = Proxy(side="graph", upstream=tenant["graph"], watcher=watch)
    queue = Proxy(side="queue", upstream=_root(parts["QueueEndpoint"]), watcher=watch)
    table = Proxy(side="table", upstream=_root(parts["TableEndpoint"]), watcher=watch)
    for proxy in (graph, queue, table):
        await proxy.start()
        stack.push_async_callback(proxy.stop)
    between = {"graph": graph.root, "connectionString": connection_string(queue.port, table.port)}
    environment = host_environment(dict(tenant) | between, between) | {"LOCAL_FUNCTION_KEY": KEY} | dict(settings)
    return Seat(environment=environment, proxies=(graph, queue, table), watch=watch)


def _root(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"
