"""One page of a table query, and a continuation token that a caller may hold."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final, cast

from revoke_core.adapters.storage import answering
from revoke_core.domain.errors import Fault, InvalidRequest
from revoke_core.log_ports import Page

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient


_ALL: Final = "PartitionKey ge ''"


async def one_page(
    table: TableClient,
    query: str,
    values: dict[str, Any],
    size: int,
    token: str | None,
    *,
    select: list[str] | None = None,
) -> Page[Any]:
    """At most ``size`` entities in key order; a page may be short while its token still leads on."""
    place = _read_token(token) if token else None
    with answering():
        found = table.query_entities(query or _ALL, parameters=values, results_per_page=size, select=select)
        pages: Any = found.by_page(cast("Any", place))
        async for page in pages:
            items = [entity async for entity in page]
            return Page(items=items, token=_written_token(pages.continuation_token))
    return Page(items=[])


def _written_token(place: Any) -> str | None:
    if not place:
        return None
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_token(token: str) -> dict[str, str | None]:
    try:
        place = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        place = None
    keys = {"PartitionKey", "RowKey"}
    if not isinstance(place, dict) or set(place) != keys or not all(isinstance(v, str | None) for v in place.values()):
        raise InvalidRequest([Fault("/continuationToken", "is not a token of this list; start again without it")])
    return place
