"""Which requests touched a user, in the table ``RevocationIndex``.

A user is entered under its object id and under its UPN (as a digest: keys may not hold ``#``, and names stay out of
keys), so a deleted user is still found. Sixteen partitions by first digit let sorted users fill whole transactions.
"""

from __future__ import annotations

import asyncio
import hashlib
from itertools import batched
from typing import TYPE_CHECKING, Final

from revoke_core.adapters.paging import one_page
from revoke_core.adapters.storage import INDEX_TABLE, Storage, answering
from revoke_core.domain.identifiers import parse_user
from revoke_core.ports import Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

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
        entries: dict[str, dict[str, int]] = {}
        for row in rows:
            for digest in _names(row):
                entries.setdefault(digest[0], {})[f"{digest}{_SEPARATOR}{request_id}"] = row.position
        table = self._storage.table(INDEX_TABLE)
        with answering():
            writes: list[Awaitable[object]] = []
            for partition, keys in entries.items():
                entities = [
                    {"PartitionKey": partition, "RowKey": key, "Position": position}
                    for key, position in sorted(keys.items())
                ]
                if len(entities) == 1:
                    writes.append(table.upsert_entity(entities[0]))
                else:
                    writes.extend(
                        table.submit_transaction([("upsert", entity) for entity in batch])
                        for batch in batched(entities, _ROWS_PER_WRITE, strict=False)
                    )
            await asyncio.gather(*writes)

    async def find(self, user: UserRef, *, size: int, token: str | None) -> Page[tuple[str, int]]:
        """Requests of one user, newest first, because request ids begin with inverted time."""
        digest = _digest(user)
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last"
        values = {"partition": digest[0], "first": f"{digest}{_SEPARATOR}", "last": f"{digest}{_SEPARATOR}~"}
        page = await one_page(self._storage.table(INDEX_TABLE), query, values, size, token)
        found = [(entity["RowKey"].partition(_SEPARATOR)[2], int(entity["Position"])) for entity in page.items]
        return Page(items=found, token=page.token)


def _names(row: UserRow) -> Iterator[str]:
    """The digests of every name a row is known by."""
    texts = {row.given, row.user_id or "", row.user_principal_name or ""}
    yield from {_digest(user) for user in map(parse_user, texts) if user}


def _digest(user: UserRef) -> str:
    return user.key.replace("-", "") if user.is_id else hashlib.sha256(user.key.encode()).hexdigest()
