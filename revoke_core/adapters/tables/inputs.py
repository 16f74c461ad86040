"""What was asked for, packed into columns: small inputs in the request's row, large ones in ``RevocationState``.

One binary property holds 64 KiB and one entity 1 MiB
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model). The request without
its named users is one piece, the *head*; the users stand beside it in parts that can be read one at a time.
"""

from __future__ import annotations

import json
import zlib
from itertools import batched, chain, count, islice
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE
from revoke_core.adapters.tables.rows import request_partition, row_key
from revoke_core.adapters.tables.table import Table, delete_found, gather_bounded
from revoke_core.domain.identifiers import names_stored_user
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.identifiers import UserRef

PROPERTY_BYTES: Final = 60_000
PART_USERS: Final = 1_998
# On the wire a binary property is base64: twelve keep a write below the size at which the HTTP library warns (1 MiB).
_ENTITY_PROPERTIES: Final = 12
_HEAD_ROW: Final = "head-"
_DAMAGED: Final = (zlib.error, ValueError, KeyError, TypeError)


class StoredInputs:
    """Writes and reads inputs for the status log."""

    def __init__(self, *, storage: Storage) -> None:
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)
        self._state = Table(storage=storage, name=STATE_TABLE)

    async def put(self, request_id: str, request: RevocationRequest) -> dict[str, Any]:
        """Store what does not fit the request's row; returns the columns that do."""
        columns: dict[str, Any] = {}
        sizes: list[int] = []

        def parts_noting_sizes() -> Iterator[bytes]:
            for size, data in pack_users(request.users):
                sizes.append(size)
                yield data

        parts = parts_noting_sizes()
        first = list(islice(parts, 2))
        if len(first) == 1:
            columns["InputUsers"] = first[0]
        else:
            await self._write(request_id, "", chain(first, parts))
        head = pack_head(request, sizes)
        if len(head) <= PROPERTY_BYTES:
            columns["Input"] = head
        else:
            pieces = (head[start : start + PROPERTY_BYTES] for start in range(0, len(head), PROPERTY_BYTES))
            columns["InputRows"] = await self._write(request_id, _HEAD_ROW, pieces)
        return columns

    async def read(self, request_id: str) -> RevocationRequest | None:
        """What was asked for, with its users when they stand in the request's row; ``None`` where it is lost."""
        select = ["Input", "InputRows", "InputUsers"]
        entity = await self._requests.get(request_partition(request_id), request_id, select=select)
        if entity is None or not (entity.get("Input") or entity.get("InputRows")):
            return None
        head: bytes = entity.get("Input") or b""
        for number in range(int(entity.get("InputRows") or 0)):
            pieces = await self._state.get(inputs_partition(request_id), _HEAD_ROW + row_key(number)) or {}
            head += b"".join(pieces.get(_property(index)) or b"" for index in range(_ENTITY_PROPERTIES))
        data = entity.get("InputUsers")
        try:
            return unpack(head, unpack_users(data) if data else NamedUsers())
        except _DAMAGED as problem:
            logs.failure("inputs_damaged", problem, requestId=request_id)
            return None

    async def part(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """One part, read by itself; the only part of a small request stands in the request's row."""
        number, index = divmod(part, _ENTITY_PROPERTIES)
        column = _property(index)
        entity = await self._state.get(inputs_partition(request_id), row_key(number), select=[column])
        if entity is None and part == 0:
            column = "InputUsers"
            entity = await self._requests.get(request_partition(request_id), request_id, select=[column])
        data = entity.get(column) if entity else None
        try:
            return unpack_users(data) if data else None
        except _DAMAGED as problem:
            logs.failure("inputs_damaged", problem, requestId=request_id, part=part)
            return None

    async def discard(self, request_id: str) -> None:
        """Remove what ``put`` has stored of a request that is not made after all."""
        await delete_found(self._state, "PartitionKey eq @key", {"key": inputs_partition(request_id)})

    async def _write(self, request_id: str, prefix: str, pieces: Iterable[bytes]) -> int:
        """Write pieces into entities under consecutive keys; returns how many entities."""
        written = count()
        writes = (
            self._state.upsert(
                {"PartitionKey": inputs_partition(request_id), "RowKey": prefix + row_key(next(written))}
                | {_property(index): piece for index, piece in enumerate(chunk)}
            )
            for chunk in batched(pieces, _ENTITY_PROPERTIES, strict=False)
        )
        await gather_bounded(writes, limit=2)
        return next(written)


def pack_users(users: Sequence[UserRef]) -> Iterator[tuple[int, bytes]]:
    """The users in parts of at most 1,998 texts and 60,000 bytes, each with how many it holds."""
    texts = users.texts if isinstance(users, NamedUsers) else [user.named for user in users]
    for start in range(0, len(texts), PART_USERS):
        yield from _halved(texts[start : start + PART_USERS])


def unpack_users(data: bytes) -> NamedUsers:
    """The users of one part; ``ValueError`` where a text names no user."""
    texts = json.loads(zlib.decompress(data))
    if not all(isinstance(text, str) and names_stored_user(text) for text in texts):
        raise ValueError("a stored user has no name")
    return NamedUsers(texts)


def pack_head(request: RevocationRequest, part_sizes: Sequence[int]) -> bytes:
    """Everything but the named users, and how many of these each part holds."""
    return _deflate(
        {
            "parts": list(part_sizes),
            "groups": request.groups,
            "transitive": request.transitive,
            "filter": request.filter,
            "retryOf": request.retry_of,
            "exclude": [user.given for user in request.exclude],
            "reason": request.reason,
            "expectedUsers": request.expected_users,
            "dryRun": request.dry_run,
            "verify": request.verify,
            "callbackUrl": request.callback_url,
        }
    )


def unpack(head: bytes, users: NamedUsers) -> RevocationRequest:
    """The request; ``users`` are those that stand in the request's own row."""
    content = json.loads(zlib.decompress(head))
    return RevocationRequest(
        users=users,
        part_sizes=tuple(content["parts"]),
        groups=tuple(content["groups"]),
        transitive=content["transitive"],
        filter=content["filter"],
        retry_of=content["retryOf"],
        exclude=tuple(NamedUsers(content["exclude"])),
        reason=content["reason"],
        expected_users=content["expectedUsers"],
        dry_run=content["dryRun"],
        verify=content["verify"],
        callback_url=content["callbackUrl"],
    )


def inputs_partition(request_id: str) -> str:
    """The partition of ``RevocationState`` that holds a request's large inputs."""
    return f"input-{request_id}"


def _property(index: int) -> str:
    return f"Part{index:02d}"


def _halved(texts: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    """The texts in one part, or in halves until each is small enough."""
    data = _deflate(texts)
    if len(data) <= PROPERTY_BYTES or len(texts) == 1:
        yield len(texts), data
        return
    middle = len(texts) // 2
    yield from _halved(texts[:middle])
    yield from _halved(texts[middle:])


def _deflate(content: Any) -> bytes:
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), level=1)
