"""A storage of their own for tests of single adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.processes import start
from revoke_core.adapters.storage import Storage
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
async def azurite() -> AsyncIterator[str]:
    """The connection string of an emulator that nobody else uses."""
    child = await start("storage", ["storage", "--queue-port", "0", "--table-port", "0", "--json"])
    yield str(child.ready["connectionString"])
    await child.stop()


@pytest.fixture
async def storage(azurite: str) -> AsyncIterator[Storage]:
    """Its tables and queues, all there."""
    made = Storage(settings=read_settings({"AzureWebJobsStorage": azurite}).storage)
    await made.ready()
    yield made
    await made.close()
