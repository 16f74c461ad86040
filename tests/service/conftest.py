"""The engine's parts over an emulator, and a tenant of the test's own where Graph is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession
from engine import Engine, HandSetClock, WatchedLog
from listing import Directory, Reading
from steps import JumpingClock

from local.simulator.server import running
from local.simulator.tenant import Tenant
from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.graph.client import MicrosoftGraph
from revoke_core.adapters.graph.identity import GraphIdentity
from revoke_core.adapters.graph.transport import GraphTransport
from revoke_core.adapters.pacing.row import PARTITION, ROW
from revoke_core.adapters.storage import STATE_TABLE, Storage
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.service.engine.sources import Sources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEADER = "made-up-header"


@pytest.fixture
def log(storage: Storage) -> WatchedLog:
    """The real status log, watched."""
    return WatchedLog(storage=storage)


@pytest.fixture
def clock() -> HandSetClock:
    """A clock that stands still."""
    return HandSetClock()


@pytest.fixture
async def directory(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Directory]:
    """A tenant in this process, over sockets."""
    tenant = Tenant(bulk_users=0, identity_header=HEADER)
    async with running(tenant) as root, ClientSession() as session:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{root}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield Directory(session, root)


@pytest.fixture
async def engine(storage: Storage, directory: Directory) -> AsyncIterator[Engine]:
    """Everything a worker needs."""
    made = Engine(storage=storage, root=directory.root)
    yield made
    await made.close()


@pytest.fixture
async def still(storage: Storage, directory: Directory) -> AsyncIterator[tuple[Engine, JumpingClock]]:
    """A worker's parts on a host of their own, and its clock, which may jump or be wrong."""
    clock = JumpingClock()
    made = Engine(storage=storage, root=directory.root, clock=clock)
    # A gate that an earlier test closed is over, but not for a clock that is set back.
    await storage.table(STATE_TABLE).delete_entity(PARTITION, ROW)
    yield made, clock
    await made.close()
    # Written by a clock that is far from all others now.
    await storage.table(STATE_TABLE).delete_entity(PARTITION, ROW)


@pytest.fixture
async def reading(directory: Directory, storage: Storage) -> AsyncIterator[Reading]:
    """Sources as the app builds them."""
    clock = SystemClock()
    identity = GraphIdentity(client_id=None, resource="https://graph.microsoft.com", clock=clock)
    transport = GraphTransport(endpoint=directory.root, identity=identity, clock=clock)
    log = TableStatusLog(storage=storage)
    yield Reading(sources=Sources(log=log, graph=MicrosoftGraph(transport=transport, identity=identity)), log=log)
    await transport.close()
    await identity.discard_credential()
