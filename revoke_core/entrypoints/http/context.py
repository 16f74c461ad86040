"""What all routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from revoke_core import logs
from revoke_core.service.reading.status import Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from revoke_core.domain.access import Action, Caller
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.entrypoints.http.auth import Callers
    from revoke_core.entrypoints.http.response import HttpResponse, StatusResponses
    from revoke_core.service.reading.status import StatusReader


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteContext:
    """Callers, the status log's reader and how it is answered; ``ready`` creates tables and queues once."""

    callers: Callers
    reader: StatusReader
    responses: StatusResponses
    ready: Callable[[], Awaitable[None]]

    async def find(self, request_id: str, caller: Caller, action: Action) -> RequestRecord:
        """The request when the caller may do this to it, else ``NotFound`` or ``AccessDenied``; ids in any case."""
        await self.ready()
        return caller.require_on(action, await self.reader.find(request_id.lower()))

    async def document(self, record: RequestRecord) -> bytes:
        """The request as it stands, without its users, as JSON."""
        return self.responses.document(await self.reader.summary(record))

    async def answer_durable(
        self, record: RequestRecord, present: Awaitable[Status], headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Answer for what is durable: its ``present`` state or, whatever fails while that is read, ``record``.

        A caller that gets an error repeats the call or gives up; the request goes on, so both would be wrong.
        """
        try:
            return await self.responses.of(await present, headers)
        except Exception as problem:  # noqa: BLE001 -- no failure denies a caller what is durable
            logs.failure("status_not_read", problem, requestId=record.id)
        return await self.responses.of(Status(record=record, users=[]), headers)
