"""Small facts that all instances share, in the table ``RevocationState``: one partition per kind of fact."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.adapters.tables.table import Table
from revoke_core.domain.timestamps import written

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage
    from revoke_core.ports.shared import Clock

_TOKEN: Final = "token"  # noqa: S105 -- the name of a partition
_SIGNING_KEY: Final = ("signing-key", "1")


class TableTokenHistory:
    """The ``TokenHistory`` port: a token lives for hours, so each process reads and writes a fingerprint once."""

    def __init__(self, *, storage: Storage, clock: Clock) -> None:
        self._table = Table(storage=storage, name=STATE_TABLE)
        self._clock = clock
        self._known: set[str] = set()

    async def has_revoked(self, fingerprint: str) -> bool:
        """Whether this or another instance has noted it."""
        if fingerprint not in self._known and await self._table.get(_TOKEN, fingerprint):
            self._known.add(fingerprint)
        return fingerprint in self._known

    async def note_revoked(self, fingerprint: str) -> None:
        """Store the fingerprint."""
        if fingerprint not in self._known:
            noted_at = written(self._clock.now())
            await self._table.upsert({"PartitionKey": _TOKEN, "RowKey": fingerprint, "NotedAt": noted_at})
            self._known.add(fingerprint)


class TableSigningKey:
    """The ``SigningKey`` port: the first insert makes the key, and every instance reads that one."""

    def __init__(self, *, storage: Storage) -> None:
        self._table = Table(storage=storage, name=STATE_TABLE)
        self._key: bytes | None = None

    async def get(self) -> bytes:
        """The key, read from storage once per process."""
        if self._key is None:
            entity = await self._table.get(*_SIGNING_KEY)
            if entity is None:
                partition, row = _SIGNING_KEY
                await self._table.insert({"PartitionKey": partition, "RowKey": row, "Secret": secrets.token_bytes(32)})
                entity = await self._table.get(partition, row)
            self._key = bytes(entity["Secret"])
        return self._key
