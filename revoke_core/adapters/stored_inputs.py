"""What was asked for, as it stands in tables: small inputs in the request's row, large ones in ``RevocationState``."""

from __future__ import annotations

from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.inputs import (
    PROPERTY_BYTES,
    cut,
    in_entities,
    joined,
    packed_head,
    packed_users,
    place_of,
    unpacked,
    unpacked_users,
)
from revoke_core.adapters.rows import request_partition, row_key
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE, Storage, in_lanes
from revoke_core.domain.named_users import NamedUsers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest

_HEAD_ROW: Final = "head-"


class StoredInputs:
    """Writes and reads inputs for the status log."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def put(self, request_id: str, request: RevocationRequest) -> dict[str, Any]:
        """Store what does not fit the request's row; returns the columns that do."""
        columns: dict[str, Any] = {}
        sizes: list[int] = []
        parts = _noting_sizes(packed_users(request.users), sizes)
        first = list(islice(parts, 2))
        if len(first) == 1:
            columns["InputUsers"] = first[0]
        else:
            await self._write(request_id, "", in_entities(chain(first, parts)))
        head = packed_head(request, sizes)
        if len(head) <= PROPERTY_BYTES:
            columns["Input"] = head
        else:
            columns["InputRows"] = await self._write(request_id, _HEAD_ROW, in_entities(cut(head)))
        return columns

    async def _write(self, request_id: str, prefix: str, entities: Iterator[dict[str, bytes]]) -> int:
        """Write entities under consecutive keys; returns how many."""
        table, written = self._storage.table(STATE_TABLE), count()
        partition = _inputs_of(request_id)
        writes = (
            table.upsert_entity({"PartitionKey": partition, "RowKey": prefix + row_key(next(written))} | properties)
            for properties in entities
        )
        await in_lanes(writes, lanes=2)
        return next(written)

    async def read(self, request_id: str) -> RevocationRequest | None:
        """What was asked for, with its users when they stand in the request's row."""
        select = ["Input", "InputRows", "InputUsers"]
        entity = await self._storage.row(REQUESTS_TABLE, request_partition(request_id), request_id, select=select)
        if entity is None or not (entity.get("Input") or entity.get("InputRows")):
            return None
        head: bytes = entity.get("Input") or b""
        for number in range(int(entity.get("InputRows") or 0)):
            pieces = await self._storage.row(
                STATE_TABLE, _inputs_of(request_id), _HEAD_ROW + row_key(number), select=None
            )
            head += joined(pieces) if pieces else b""
        data = entity.get("InputUsers")
        return unpacked(head, unpacked_users(data) if data else NamedUsers())

    async def part(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """One part, read by itself; the only part of a small request stands in the request's row."""
        number, column = place_of(part)
        entity = await self._storage.row(STATE_TABLE, _inputs_of(request_id), row_key(number), select=[column])
        data = entity.get(column) if entity else None
        if entity is None and part == 0:
            select = ["InputUsers"]
            entity = await self._storage.row(REQUESTS_TABLE, request_partition(request_id), request_id, select=select)
            data = entity.get("InputUsers") if entity else None
        return unpacked_users(data) if data else None


def _noting_sizes(parts: Iterator[tuple[int, bytes]], sizes: list[int]) -> Iterator[bytes]:
    """The parts, packed as they are needed, while ``sizes`` comes to hold how many users each has."""
    for size, data in parts:
        sizes.append(size)
        yield data


def _inputs_of(request_id: str) -> str:
    return f"input-{request_id}"
