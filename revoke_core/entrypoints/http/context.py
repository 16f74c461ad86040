"""What all routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from revoke_core.domain.access import Action, Caller
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.entrypoints.http.auth import Callers
    from revoke_core.entrypoints.http.response import StatusResponses
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
