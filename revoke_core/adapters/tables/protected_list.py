"""The protected list as it was read last, in the table ``RevocationState``: one row, packed."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.adapters.tables.table import Table
from revoke_core.domain.timestamps import parsed_or_none, written
from revoke_core.ports.shared import StoredProtection

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage

PARTITION: Final = "protected"
# A binary property holds 64 KiB and an entity 1 MiB (https://learn.microsoft.com/rest/api/storageservices): about
# 40,000 members.
_PART: Final = 60_000
_MOST_PARTS: Final = 15


class TableProtectedList:
    """The ``ProtectedListStore`` port."""

    def __init__(self, *, storage: Storage, row: str = "1") -> None:
        self._table = Table(storage=storage, name=STATE_TABLE)
        self._row = row

    async def get(self) -> StoredProtection:
        """The list; an empty one where none was kept, or where it cannot be unpacked."""
        entity = await self._table.get(PARTITION, self._row)
        if entity is None:
            return StoredProtection()
        parts = (entity.get(f"Part{number:02d}") for number in range(_MOST_PARTS))
        try:
            content: dict[str, Any] = json.loads(zlib.decompress(b"".join(bytes(part) for part in parts if part)))
            return StoredProtection(
                entries=dict(content["entries"]),
                group=content["group"],
                members=frozenset(content["members"]),
                read_at=parsed_or_none(content["readAt"]),
            )
        except (ValueError, KeyError, TypeError, zlib.error):
            return StoredProtection()

    async def put(self, kept: StoredProtection) -> None:
        """Keep a list; entries that another instance has resolved meanwhile stay."""
        others = (await self.get()).entries
        packed = _packed(kept, others)
        if len(packed) > _PART * _MOST_PARTS:
            # Entries are few and kept for good; members that take more than an entity are not kept.
            packed = _packed(StoredProtection(entries=kept.entries), others)
        parts = {f"Part{at // _PART:02d}": packed[at : at + _PART] for at in range(0, len(packed), _PART)}
        read_at = written(kept.read_at) if kept.read_at else ""
        await self._table.replace({"PartitionKey": PARTITION, "RowKey": self._row, "ReadAt": read_at} | parts)


def _packed(kept: StoredProtection, others: dict[str, str]) -> bytes:
    content = {
        "entries": others | kept.entries,
        "group": kept.group,
        "members": sorted(kept.members),
        "readAt": written(kept.read_at) if kept.read_at else None,
    }
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode())
