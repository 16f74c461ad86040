"""What was asked for, packed so that it fits table properties.

One binary property holds 64 KiB and one entity 1 MiB
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model). The request without
its named users is one piece, the *head*; the users stand beside it in parts that can be read one at a time.
"""

from __future__ import annotations

import json
import zlib
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from revoke_core.domain.identifiers import UserRef

PROPERTY_BYTES: Final = 60_000
PART_USERS: Final = 1_998
# On the wire a binary property is base64: twelve keep a write below the size at which the HTTP library warns (1 MiB).
_ENTITY_PROPERTIES: Final = 12


def packed_users(users: Sequence[UserRef]) -> Iterator[tuple[int, bytes]]:
    """The users in parts of at most 1,998 texts and 60,000 bytes, each with how many it holds."""
    texts = users.texts if isinstance(users, NamedUsers) else [user.given for user in users]
    for start in range(0, len(texts), PART_USERS):
        yield from _parts(texts[start : start + PART_USERS])


def unpacked_users(data: bytes) -> NamedUsers:
    """The users of one part."""
    return NamedUsers(json.loads(zlib.decompress(data)))


def packed_head(request: RevocationRequest, part_sizes: Sequence[int]) -> bytes:
    """Everything but the named users, and how those are parted."""
    return _deflated(
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
        }
    )


def unpacked(head: bytes, users: NamedUsers) -> RevocationRequest:
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
    )


def cut(data: bytes) -> list[bytes]:
    """A head that is too large for one property, in pieces that are not."""
    return [data[start : start + PROPERTY_BYTES] for start in range(0, len(data), PROPERTY_BYTES)]


def in_entities(pieces: Iterable[bytes]) -> Iterator[dict[str, bytes]]:
    """The properties of each entity that holds some of the pieces, up to 12."""
    for chunk in batched(pieces, _ENTITY_PROPERTIES, strict=False):
        yield {_property(index): piece for index, piece in enumerate(chunk)}


def joined(entity: Mapping[str, Any]) -> bytes:
    """The pieces of one entity put together again."""
    names = map(_property, range(_ENTITY_PROPERTIES))
    return b"".join(entity[name] for name in names if entity.get(name))


def place_of(piece: int) -> tuple[int, str]:
    """In which entity a piece stands, and as which property."""
    entity, index = divmod(piece, _ENTITY_PROPERTIES)
    return entity, _property(index)


def _property(index: int) -> str:
    return f"Part{index:02d}"


def _parts(texts: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    data = _deflated(texts)
    if len(data) <= PROPERTY_BYTES or len(texts) == 1:
        yield len(texts), data
        return
    middle = len(texts) // 2
    yield from _parts(texts[:middle])
    yield from _parts(texts[middle:])


def _deflated(content: Any) -> bytes:
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), level=1)
