"""The real Graph adapter against a fresh tenant, and the real status log against an emulator of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession
from listing import Directory, Reading

from local.simulator.server import running
from local.simulator.tenant import Tenant
from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.graph import MicrosoftGraph
from revoke_core.adapters.graph_wire import GraphWire
from revoke_core.adapters.identity import GraphIdentity
from revoke_core.adapters.status_log import TableStatusLog
from revoke_core.adapters.storage import Storage
from revoke_core.service.sources import Sources
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEADER = "made-up-header"


@pytest.fixture
async def directory(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Directory]:
    """A tenant of the test's own, in this process, over sockets."""
    tenant = Tenant(bulk_users=0, identity_header=HEADER)
    async with running(tenant) as root, ClientSession() as session:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{root}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield Directory(session, root)


@pytest.fixture
async def reading(directory: Directory, azurite: str) -> AsyncIterator[Reading]:
    """Sources as the app builds them."""
    clock = SystemClock()
    storage = Storage(settings=read_settings({"AzureWebJobsStorage": azurite}).storage)
    await storage.ready()
    identity = GraphIdentity(client_id=None, resource="https://graph.microsoft.com", clock=clock)
    wire = GraphWire(endpoint=directory.root, identity=identity, clock=clock)
    log = TableStatusLog(storage=storage)
    yield Reading(sources=Sources(log=log, graph=MicrosoftGraph(wire=wire, identity=identity)), log=log)
    await wire.close()
    await identity.forget()
    await storage.close()
