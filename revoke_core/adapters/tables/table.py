"""One table of the app: every access of the adapters, with storage's refusals as return values.

What storage refuses because of the rows that stand there comes back as ``None`` or ``False``; every other failure is
``Unavailable``. A transaction is at most 100 entities of one partition, all or nothing
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import UpdateMode

from revoke_core.adapters.storage import raise_unavailable
from revoke_core.domain.errors import Fault, InvalidRequest
from revoke_core.ports.status_log import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Iterator, Mapping

    from revoke_core.adapters.storage import Storage

MERGE: Final[dict[str, Any]] = {"mode": UpdateMode.MERGE}
REPLACE: Final[dict[str, Any]] = {"mode": UpdateMode.REPLACE}
ROWS_PER_TRANSACTION: Final = 100
_REFUSALS: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
# These errors have the same statuses and concern no entity.
_NO_TABLE: Final = ("TableNotFound", "TableBeingDeleted")
# As storage writes the keys at which a list continues: much longer than any of this app's keys, and fit for a URL.
_KEY: Final = re.compile(r"[!-~]{1,2000}")


class OperationRefusedError(HttpResponseError):
    """Storage refuses an operation, and with it the transaction; ``error_code`` is storage's own."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(message=f"an operation of the transaction was answered {status}")
        self.status_code = status
        self.error_code = _error_code(body)


class Table:
    """Reads and writes entities of one table."""

    def __init__(self, *, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name

    @property
    def _client(self) -> Any:
        return self._storage.table(self._name)

    async def get(self, partition: str, row: str, *, select: list[str] | None = None) -> Any:
        """One entity with the columns asked for (all without ``select``), or ``None`` when it is not there."""
        with raise_unavailable():
            try:
                return await self._client.get_entity(partition, row, select=select)
            except ResourceNotFoundError:
                return None

    async def insert(self, entity: Mapping[str, Any]) -> str | None:
        """Create an entity and return its ETag; ``None`` when its key is taken."""
        with raise_unavailable():
            try:
                return cast("str", (await self._client.create_entity(entity))["etag"])
            except ResourceExistsError:
                return None

    async def update(self, entity: Mapping[str, Any], how: dict[str, Any], *, etag: str | None = None) -> str | None:
        """``MERGE`` or ``REPLACE`` an entity and return its ETag; ``None`` when it is gone or not of this ``etag``."""
        guard = guarded(etag) if etag else {}
        with raise_unavailable():
            try:
                return cast("str", (await self._client.update_entity(entity, **how, **guard))["etag"])
            except (ResourceModifiedError, ResourceNotFoundError):
                return None

    async def upsert(self, entity: Mapping[str, Any]) -> None:
        """Write an entity, whether it is there or not."""
        with raise_unavailable():
            await self._client.upsert_entity(entity)

    async def replace(self, entity: Mapping[str, Any]) -> None:
        """Write an entity, whether it is there or not; columns that it had and that are not given go."""
        with raise_unavailable():
            await self._client.upsert_entity(entity, **REPLACE)

    async def delete(self, partition: str, row: str) -> None:
        """Delete an entity if it is there."""
        with raise_unavailable():
            await self._client.delete_entity(partition, row)

    async def submit(self, operations: Iterable[tuple[Any, ...]]) -> list[Mapping[str, Any]] | None:
        """Write a transaction and return the metadata of each entity.

        ``None``, and nothing is written, when one of the entities is there already, is gone, or has another ETag.
        """
        with raise_unavailable():
            try:
                return cast("list[Mapping[str, Any]]", await self._client.submit_transaction(operations))
            except OperationRefusedError as problem:
                if problem.status_code in _REFUSALS and problem.error_code not in _NO_TABLE:
                    return None
                raise

    async def query(
        self, query: str, values: dict[str, Any], *, select: list[str] | None = None, page_size: int | None = None
    ) -> AsyncIterator[Any]:
        """All entities that a query finds, in key order; ``page_size`` is how many are read at a time."""
        with raise_unavailable():
            async for entity in self._client.query_entities(
                query, parameters=values, select=select, results_per_page=page_size
            ):
                yield entity

    async def pages(
        self, query: str, values: dict[str, Any], size: int, *, select: list[str] | None = None
    ) -> AsyncIterator[list[Any]]:
        """As ``query``, page by page as storage gives them: at most ``size`` entities each, sometimes none."""
        with raise_unavailable():
            found = self._client.query_entities(query, parameters=values, results_per_page=size, select=select)
            async for page in found.by_page():
                yield [entity async for entity in page]

    async def page(
        self, query: str, values: dict[str, Any], size: int, token: str | None, *, select: list[str] | None = None
    ) -> Page[Any]:
        """One page for a caller, who may hold its token; it may be short while the token still leads on.

        ``InvalidRequest`` for a token that this app never gave out, whether that shows here or only to storage.
        """
        start = _parse_token(token) if token else None
        with raise_unavailable():
            found = self._client.query_entities(query, parameters=values, results_per_page=size, select=select)
            pages: Any = found.by_page(start)
            try:
                async for page in pages:
                    items = [entity async for entity in page]
                    return Page(items=items, token=_token(pages.continuation_token))
            except HttpResponseError as problem:
                if start is None or problem.status_code != HTTPStatus.BAD_REQUEST:
                    raise
                raise _unknown_token() from problem
        return Page(items=[])


def guarded(etag: str) -> dict[str, Any]:
    """The condition that the stored entity still has this ETag."""
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


async def gather_bounded(writes: Iterator[Awaitable[Any]], *, limit: int) -> None:
    """Await every write, ``limit`` at a time; each is built only when it is about to leave.

    Many large writes at once would be the largest thing in a host's memory, and building them all at once would delay
    everything else, the next call to Graph included.
    """

    async def one_after_the_other() -> None:
        for write in writes:
            await write

    await asyncio.gather(*(one_after_the_other() for _ in range(limit)))


async def delete_found(table: Table, query: str, values: dict[str, Any]) -> None:
    """Delete every row that a query finds."""
    async for chunk in chunks(table.query(query, values, select=["PartitionKey", "RowKey"])):
        await delete_rows(table, [(entity["PartitionKey"], entity["RowKey"]) for entity in chunk])


async def delete_rows(table: Table, keys: list[tuple[str, str]]) -> None:
    """Delete rows of one partition, one by one where some of them are gone already."""
    if await table.submit([("delete", {"PartitionKey": partition, "RowKey": row}) for partition, row in keys]) is None:
        for partition, row in keys:
            await table.delete(partition, row)


async def chunks[T](items: AsyncIterable[T]) -> AsyncIterator[list[T]]:
    """The items in lists of as many as one transaction writes."""
    chunk: list[T] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == ROWS_PER_TRANSACTION:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _token(keys: Any) -> str | None:
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=") if keys else None


def _parse_token(token: str) -> dict[str, str | None]:
    try:
        keys = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        keys = None
    if not isinstance(keys, dict) or set(keys) != {"PartitionKey", "RowKey"}:
        raise _unknown_token()
    given = [key for key in keys.values() if key is not None]
    if not given or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in given):
        raise _unknown_token()
    return keys


def _unknown_token() -> InvalidRequest:
    return InvalidRequest([Fault("/continuationToken", "is not a token of this list; start again without it")])


def _error_code(text: bytes) -> str | None:
    """``odata.error.code`` in an answer, whatever stands around it."""
    start = text.find(b"{")
    try:
        content, _ = json.JSONDecoder().raw_decode(text[start:].decode("utf-8", "replace")) if start >= 0 else ({}, 0)
        code = content["odata.error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) else None
