"""Transactions are written and read by this app, and mean the same as the official client's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from azure.data.tables.aio import TableClient

from revoke_core.adapters.storage import STATE_TABLE, Storage
from revoke_core.adapters.tables.table import MERGE, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW = {
    "PartitionKey": "transactions",
    "Text": "Zoë\r\n--batch_x--\r\n\u2028{",
    "Number": 7,
    "Flag": True,
    "Binary": b"\x00\xff",
}


async def test_what_a_transaction_writes_is_what_is_read(storage: Storage) -> None:
    """Any text, also one that looks like the end of a part, and bytes; each entity gets the ETag it is stored under."""
    table = Table(storage=storage, name=STATE_TABLE)
    rows = [ROW | {"RowKey": f"written-{number}"} for number in range(3)]
    saved = await table.submit([("upsert", row) for row in rows])
    assert saved is not None
    for row, outcome in zip(rows, saved, strict=True):
        stored = await table.get("transactions", row["RowKey"])
        assert dict(stored) == row
        assert stored.metadata["etag"] == outcome["etag"]


async def test_a_refused_operation_undoes_the_whole_transaction(storage: Storage) -> None:
    """``None``, and the operations before and behind it are not carried out either."""
    table = Table(storage=storage, name=STATE_TABLE)
    await table.upsert(ROW | {"RowKey": "taken"})
    rows: list[Mapping[str, Any]] = [ROW | {"RowKey": name} for name in ("before", "taken", "behind")]
    assert await table.submit([("create", row) for row in rows]) is None
    assert await table.submit([("create", rows[0]), ("update", ROW | {"RowKey": "gone"}, MERGE)]) is None
    assert await table.get("transactions", "before") is None
    assert await table.get("transactions", "behind") is None


async def test_the_clients_own_encoding_is_not_used(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version of the client may call it by another name: then every transaction would cost thrice as much."""

    async def unused(*_: Any, **__: Any) -> None:
        pytest.fail("the official client has put a transaction together")

    monkeypatch.setattr(TableClient, "_batch_send", unused)
    assert await Table(storage=storage, name=STATE_TABLE).submit([("upsert", ROW | {"RowKey": "own"})])
