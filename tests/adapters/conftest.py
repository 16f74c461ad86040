"""Tests of single adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from pace_site import Site
from storage_log import StorageLog, storage_log
from table_hooks import hook_tables

from local.processes import start
from revoke_core.adapters.pacing.row import PARTITION
from revoke_core.adapters.storage import STATE_TABLE, Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
async def requests_sent(azurite: str, storage: Storage) -> list[str]:
    """The requests to the storage, as they leave from now on."""
    sent: list[str] = []
    await hook_tables(storage, azurite, raw_request_hook=lambda call: sent.append(unquote(call.http_request.url)))
    return sent


@pytest.fixture(scope="module")
async def pace_storage() -> AsyncIterator[str]:
    """An emulator for pacing alone: a test that moves the clock leaves gates closed for later tests."""
    child = await start("storage", ["storage", "--queue-port", "0", "--table-port", "0", "--json"])
    yield child.ready["connectionString"]
    await child.stop()


@pytest.fixture
async def site(pace_storage: str) -> AsyncIterator[Site]:
    """A site whose partition is empty."""
    made = Site(pace_storage)
    storage = made.instance().storage
    await storage.ready()
    table = storage.table(STATE_TABLE)
    async for row in table.query_entities("PartitionKey eq @pace", parameters={"pace": PARTITION}):
        await table.delete_entity(row)
    yield made
    for instance in made.instances:
        await instance.storage.close()


@pytest.fixture
def requests() -> Iterator[StorageLog]:
    """The requests that go to storage."""
    with storage_log() as log:
        yield log
