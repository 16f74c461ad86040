"""Which requests touched a user, in the table ``RevocationIndex``.

A user is entered under its object id and under its UPN (as a digest: keys may not hold ``#``, and names stay out of
keys), so a deleted user is still found. Sixteen partitions by first digit let sorted users fill whole transactions.
"""

from __future__ import annotations

import hashlib
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.storage import INDEX_TABLE
from revoke_core.adapters.tables.table import ROWS_PER_TRANSACTION, Table, gather_bounded
from revoke_core.domain.identifiers import parse_user
from revoke_core.ports.status_log import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.user_state import UserRow

_SEPARATOR: Final = "|"


class TableUserIndex:
    """The ``UserIndex`` port over one table."""

    def __init__(self, *, storage: Storage) -> None:
        self._table = Table(storage=storage, name=INDEX_TABLE)

    async def add(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Upsert one entry per user and name."""
        writes = (
            self._table.upsert(batch[0])
            if len(batch) == 1
            else self._table.submit([("upsert", entity) for entity in batch])
            for batch in _batches(request_id, rows)
        )
        # A caller waits for a few users; of many, each write takes 1.5 MB while it is put together.
        await gather_bounded(writes, limit=2 if len(rows) <= ROWS_PER_TRANSACTION else 1)

    async def remove(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Delete the entries of some users of a request, one by one where an earlier removal was broken off."""
        for batch in _batches(request_id, rows):
            if await self._table.submit([("delete", entity) for entity in batch]) is None:
                for entity in batch:
                    await self._table.delete(entity["PartitionKey"], entity["RowKey"])

    async def find(self, user: UserRef, *, size: int, token: str | None) -> Page[tuple[str, int]]:
        """Requests of one user, newest first, because request ids begin with inverted time."""
        digest = _digest(user)
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last"
        values = {"partition": digest[0], "first": f"{digest}{_SEPARATOR}", "last": f"{digest}{_SEPARATOR}~"}
        page = await self._table.page(query, values, size, token)
        found = [(entity["RowKey"].partition(_SEPARATOR)[2], int(entity["Position"])) for entity in page.items]
        return Page(items=found, token=page.token)


def _batches(request_id: str, rows: Sequence[UserRow]) -> Iterator[Sequence[dict[str, Any]]]:
    """The entries of the rows, sorted, in batches of one partition that each fit a transaction."""
    entries: dict[str, dict[str, int]] = {}
    for row in rows:
        for digest in _names(row):
            entries.setdefault(digest[0], {})[f"{digest}{_SEPARATOR}{request_id}"] = row.position
    for partition, keys in entries.items():
        for batch in batched(sorted(keys.items()), ROWS_PER_TRANSACTION, strict=False):
            yield [{"PartitionKey": partition, "RowKey": key, "Position": position} for key, position in batch]


def _names(row: UserRow) -> Iterator[str]:
    """The digests of every name of a row."""
    texts = {row.named, row.user_id or "", row.user_principal_name or ""}
    yield from {_digest(user) for user in map(parse_user, texts) if user}


def _digest(user: UserRef) -> str:
    return user.key.replace("-", "") if user.is_id else hashlib.sha256(user.key.encode()).hexdigest()
