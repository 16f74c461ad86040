"""A whole app in this process behind proxies, so that a test can cut it off from tables, queues or Graph."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from listing import Directory

from local.simulator.server import running
from local.simulator.tenant import Tenant
from local.storage import connection_string
from local.testbed.proxy import Exchange, Proxy
from revoke_core.bootstrap import App, build
from revoke_core.entrypoints.http.call import HttpCall
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from revoke_core.ports.shared import Clock

HEADER = "made-up-header"


@dataclass
class Outage:
    """An interceptor that breaks the connection of every exchange that ``cuts`` names; ``broken`` counts them.

    ``loses`` names answers that are lost although the server has done its work.
    """

    cuts: Callable[[Exchange], bool] | None = None
    loses: Callable[[Exchange], bool] | None = None
    broken: int = 0

    def intercept_request(self, exchange: Exchange) -> bool:
        """Whether the request is lost on its way."""
        is_cut = self.cuts is not None and self.cuts(exchange)
        self.broken += is_cut
        return is_cut

    def intercept_response(self, exchange: Exchange) -> bool:
        """Whether the answer is lost on its way."""
        return self.loses is not None and self.loses(exchange)

    def of_tables(self) -> None:
        """No table answers any more."""
        self.cuts = lambda exchange: exchange.side == "table"

    def over(self) -> None:
        """Everything answers again."""
        self.cuts = self.loses = None


@dataclass(frozen=True)
class House:
    """The app, the tenant it works on, and what stands between it and its servers."""

    app: App
    directory: Directory
    outage: Outage
    connection: str = field(repr=False)

    async def submit(self, content: Any, **headers: str) -> tuple[int, Any]:
        """``POST /revocations``: status and JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.app.submit.submit(HttpCall(headers=named, body=json.dumps(content).encode()))
        return answer.status, json.loads(answer.body)

    async def status(self, request_id: str) -> Any:
        """The request as a reader sees it."""
        return json.loads((await self.app.read.request(HttpCall(), request_id)).body)


@asynccontextmanager
async def house(azurite: str, *, clock: Clock | None = None, **settings: str) -> AsyncIterator[House]:
    """An app over a storage emulator and a tenant of its own, as ``function_app`` would have it."""
    outage = Outage()
    parts = dict(part.split("=", 1) for part in azurite.split(";") if part)
    async with AsyncExitStack() as stack:
        root = await stack.enter_async_context(running(Tenant(bulk_users=0, identity_header=HEADER)))
        session = await stack.enter_async_context(ClientSession())
        queue = Proxy(side="queue", upstream=_root(parts["QueueEndpoint"]), interceptor=outage)
        table = Proxy(side="table", upstream=_root(parts["TableEndpoint"]), interceptor=outage)
        graph = Proxy(side="graph", upstream=root, interceptor=outage)
        for proxy in (queue, table, graph):
            await proxy.start()
            stack.push_async_callback(proxy.stop)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("IDENTITY_ENDPOINT", f"{root}/msi/token")
        patch.setenv("IDENTITY_HEADER", HEADER)
        connection = connection_string(queue.port, table.port)
        environment = {"AzureWebJobsStorage": connection, "GRAPH_ENDPOINT": graph.root}
        app = build(read_settings(environment | settings), clock=clock)
        stack.push_async_callback(app.close)
        yield House(app=app, directory=Directory(session, root), outage=outage, connection=connection)


def _root(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"
