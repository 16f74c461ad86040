"""Storage whose calls to the tables can be watched and changed as they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revoke_core.adapters.storage import TABLES
from revoke_core.adapters.tables.transaction import TransactionClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from revoke_core.adapters.storage import Storage


async def hook_tables(storage: Storage, connection: str, **hooks: Callable[[Any], None]) -> None:
    """From now on every call passes ``raw_request_hook`` and ``raw_response_hook``."""
    await storage.close()
    for name in TABLES:
        client = TransactionClient.from_connection_string(connection, name, **hooks)
        storage._tables[name] = client
