"""Tests of single adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from azure.data.tables.aio import TableServiceClient

from revoke_core.adapters.storage import Storage
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def storage(azurite: str) -> AsyncIterator[Storage]:
    """Its tables and queues, all there."""
    made = Storage(settings=read_settings({"AzureWebJobsStorage": azurite}).storage)
    await made.ready()
    yield made
    await made.close()


@pytest.fixture
async def requests_sent(azurite: str, storage: Storage) -> list[str]:
    """The requests to the storage, as they leave from now on."""
    sent: list[str] = []
    await storage.table_service().close()
    storage._tables = TableServiceClient.from_connection_string(
        azurite, raw_request_hook=lambda call: sent.append(unquote(call.http_request.url))
    )
    return sent
