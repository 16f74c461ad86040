"""A test environment: tenant, storage and host processes, with a proxy between each host and every server."""

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
from local.storage import connection_string
from local.testbed.interceptor import RuleInterceptor
from local.testbed.proxy import Proxy
from local.up import host_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

KEY: Final = "a-key-of-this-machine-only"
_CALL_SECONDS: Final = 240.0


@dataclass(kw_only=True)
class HostProcess:
    """One host process and its proxies; ``interceptor`` gets every exchange it has with storage and Graph.

    A host that is started again listens on the port it had before. ``variables`` are its environment variables;
    ``app`` is the folder of another app than this project's.
    """

    variables: Mapping[str, str]
    proxies: tuple[Proxy, ...]
    interceptor: RuleInterceptor
    on_line: Callable[[str], None] | None = None
    app: Path | None = None
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
        """Start the host and wait until it is ready."""
        folder = ["--app", str(self.app)] if self.app else []
        arguments = ["host", "--port", str(self.port), *folder, "--json"]
        self.child = await start("host", arguments, environment=self.variables, on_line=self.on_line)
        self.port = urlsplit(self.child.ready["functions"]).port or 0

    def kill(self) -> None:
        """End the host at once, as ``kill -9`` does."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait_killed(self) -> int:
        """Wait for the end of a host that has been killed; its exit code."""
        return await self.child.stop(signal.SIGKILL) if self.child else 0

    async def stop(self) -> int:
        """Stop the host as the platform does; its exit code."""
        return await self.child.stop() if self.child else 0


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The running parts; its clients read tenant and storage directly, past the proxies."""

    hosts: tuple[HostProcess, ...]
    graph: str
    identity: tuple[str, str]
    connection: str
    session: ClientSession
    tables: TableServiceClient
    parts: tuple[Child, ...] = field(repr=False)

    @property
    def host(self) -> HostProcess:
        """The only host, or the first."""
        return self.hosts[0]

    async def sim(self, route: str, content: Any = None) -> Any:
        """Call a control route of the simulator: GET, or POST with ``content``."""
        method = "GET" if content is None else "POST"
        async with self.session.request(method, f"{self.graph}/_sim/{route}", json=content) as answer:
            answer.raise_for_status()
            return await answer.json() if answer.content_type == "application/json" else None

    async def api(
        self, method: str, path: str, content: Any = None, *, host: HostProcess | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Call the app; status and JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{(host or self.host).root}/api/{path}"
        async with self.session.request(method, url, json=content, headers={"x-functions-key": KEY} | named) as answer:
            return answer.status, await answer.json(content_type=None)


@asynccontextmanager
async def running_environment(
    *,
    users: int,
    config: str = "{}",
    settings: Mapping[str, str] | None = None,
    hosts: int = 1,
    start_hosts: bool = True,
    peer: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Environment]:
    """Tenant, storage and hosts while the context lasts; ``ChildFailedError`` when one does not get ready.

    Args:
        users: bulk users in the tenant.
        config: the tenant's configuration, as for ``python -m local tenant --config``.
        settings: settings of the app, over those of this process.
        hosts: host processes on the same storage.
        start_hosts: whether they are started; otherwise the caller starts them.
        peer: folder of another app, which runs on a host of its own: the last of ``hosts``.
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
        host_processes = []
        for app in [None] * hosts + ([peer] if peer else []):
            host = await _host_process(stack, tenant.ready, connection, settings or {})
            host.on_line, host.app = on_line, app
            stack.push_async_callback(host.stop)
            if start_hosts:
                await host.start()
            host_processes.append(host)
        yield Environment(
            hosts=tuple(host_processes),
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


async def _host_process(
    stack: AsyncExitStack, tenant: Mapping[str, Any], connection: str, settings: Mapping[str, str]
) -> HostProcess:
    interceptor = RuleInterceptor()
    parts = dict(part.split("=", 1) for part in connection.split(";") if part)
    graph = Proxy(side="graph", upstream=tenant["graph"], interceptor=interceptor)
    queue = Proxy(side="queue", upstream=_root(parts["QueueEndpoint"]), interceptor=interceptor)
    table = Proxy(side="table", upstream=_root(parts["TableEndpoint"]), interceptor=interceptor)
    for proxy in (graph, queue, table):
        await proxy.start()
        stack.push_async_callback(proxy.stop)
    between = {"graph": graph.root, "connectionString": connection_string(queue.port, table.port)}
    variables = host_environment(dict(tenant) | between, between) | {"LOCAL_FUNCTION_KEY": KEY} | dict(settings)
    return HostProcess(variables=variables, proxies=(graph, queue, table), interceptor=interceptor)


def _root(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"
