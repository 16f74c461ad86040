"""One page of a table query, and a continuation token that a caller may hold."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from revoke_core.adapters.storage import answering
from revoke_core.domain.errors import Fault, InvalidRequest
from revoke_core.log_ports import Page

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient


_ALL: Final = "PartitionKey ge ''"
# As storage writes the keys it goes on from: much longer than any of this app's keys, and fit for a URL.
_KEY: Final = re.compile(r"[!-~]{1,2000}")
_BAD_REQUEST: Final = 400


async def one_page(
    table: TableClient,
    query: str,
    values: dict[str, Any],
    size: int,
    token: str | None,
    *,
    select: list[str] | None = None,
) -> Page[Any]:
    """At most ``size`` entities in key order; a page may be short while its token still leads on.

    ``InvalidRequest`` for a token that nobody was given, whether that shows here or only to storage.
    """
    from azure.core.exceptions import HttpResponseError  # noqa: PLC0415 -- kept out of the app's import

    place = _read_token(token) if token else None
    with answering():
        found = table.query_entities(query or _ALL, parameters=values, results_per_page=size, select=select)
        pages: Any = found.by_page(cast("Any", place))
        try:
            async for page in pages:
                items = [entity async for entity in page]
                return Page(items=items, token=_written_token(pages.continuation_token))
        except HttpResponseError as problem:
            if place is None or problem.status_code != _BAD_REQUEST:
                raise
            raise _no_token() from problem
    return Page(items=[])


def _written_token(place: Any) -> str | None:
    if not place:
        return None
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_token(token: str) -> dict[str, str | None]:
    try:
        place = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        place = None
    if not isinstance(place, dict) or set(place) != {"PartitionKey", "RowKey"}:
        raise _no_token()
    keys = [key for key in place.values() if key is not None]
    if not keys or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        raise _no_token()
    return place


def _no_token() -> InvalidRequest:
    return InvalidRequest([Fault("/continuationToken", "is not a token of this list; start again without it")])
