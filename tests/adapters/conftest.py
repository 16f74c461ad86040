"""Tests of single adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
