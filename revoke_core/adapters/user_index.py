"""Which requests touched a user, in the table ``RevocationIndex``.

A user is entered under its object id and under its UPN (as a digest: keys may not hold ``#``, and names stay out of
keys), so a deleted user is still found. Sixteen partitions by first digit let sorted users fill whole transactions.
"""

from __future__ import annotations

import hashlib
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.paging import one_page
from revoke_core.adapters.storage import INDEX_TABLE, Storage, answering, in_lanes
from revoke_core.domain.identifiers import parse_user
from revoke_core.log_ports import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azure.data.tables.aio import TableClient

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.results import UserRow

_ROWS_PER_WRITE: Final = 100
_SEPARATOR: Final = "|"


class TableUserIndex:
    """The ``UserIndex`` port over one table."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def add(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Upsert one entry per user and name."""
        with answering():
            await self._write("upsert", request_id, rows)

    async def remove(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Delete the entries of some users of a request; those that are gone already are no error."""
        from azure.data.tables import TableTransactionError  # noqa: PLC0415 -- kept out of the app's import

        with answering():
            try:
                await self._write("delete", request_id, rows)
            except TableTransactionError as problem:
                if problem.status_code != 404:  # noqa: PLR2004 -- HTTP's Not Found
                    raise
                # A removal that was broken off: one by one, what is left.
                for row in rows:
                    for digest in _names(row):
                        await self._table.delete_entity(digest[0], f"{digest}{_SEPARATOR}{request_id}")

    async def _write(self, operation: str, request_id: str, rows: Sequence[UserRow]) -> None:
        entries: dict[str, dict[str, int]] = {}
        for row in rows:
            for digest in _names(row):
                entries.setdefault(digest[0], {})[f"{digest}{_SEPARATOR}{request_id}"] = row.position
        batches = (
            batch
            for partition, keys in entries.items()
            for batch in batched(_entities(partition, keys), _ROWS_PER_WRITE, strict=False)
        )
        writes = (
            self._table.upsert_entity(batch[0])
            if len(batch) == 1 and operation == "upsert"
            else self._table.submit_transaction([(operation, entity) for entity in batch])
            for batch in batches
        )
        # Somebody waits for a few users. Of many, each write takes 1.5 MB while it is put together.
        await in_lanes(writes, lanes=2 if len(rows) <= _ROWS_PER_WRITE else 1)

    async def find(self, user: UserRef, *, size: int, token: str | None) -> Page[tuple[str, int]]:
        """Requests of one user, newest first, because request ids begin with inverted time."""
        digest = _digest(user)
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last"
        values = {"partition": digest[0], "first": f"{digest}{_SEPARATOR}", "last": f"{digest}{_SEPARATOR}~"}
        page = await one_page(self._table, query, values, size, token)
        found = [(entity["RowKey"].partition(_SEPARATOR)[2], int(entity["Position"])) for entity in page.items]
        return Page(items=found, token=page.token)

    @property
    def _table(self) -> TableClient:
        return self._storage.table(INDEX_TABLE)


def _entities(partition: str, keys: dict[str, int]) -> Iterator[dict[str, Any]]:
    for key, position in sorted(keys.items()):
        yield {"PartitionKey": partition, "RowKey": key, "Position": position}


def _names(row: UserRow) -> Iterator[str]:
    """The digests of every name a row is known by."""
    texts = {row.given, row.user_id or "", row.user_principal_name or ""}
    yield from {_digest(user) for user in map(parse_user, texts) if user}


def _digest(user: UserRef) -> str:
    return user.key.replace("-", "") if user.is_id else hashlib.sha256(user.key.encode()).hexdigest()
