"""A request's state as an HTTP answer: 202 with where and when to ask again while it runs, else 200."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from revoke_core.domain.results import RequestStatus
from revoke_core.entrypoints import rendering
from revoke_core.entrypoints.http_words import HttpAnswer, json_answer

if TYPE_CHECKING:
    from revoke_core.entrypoints.links import Links
    from revoke_core.ports import Clock
    from revoke_core.service.reading import Status

_SOONEST_POLL: Final = 5
_LATEST_POLL: Final = 60
# Held is an answer, not a wait: a polling flow must end there and ask a person.
_RUNNING: Final = (RequestStatus.ACCEPTED, RequestStatus.RUNNING)


class StatusAnswers:
    """The one way a request is answered, whichever route asks."""

    def __init__(self, *, links: Links, clock: Clock) -> None:
        self._links = links
        self._clock = clock

    async def of(self, status: Status, headers: dict[str, str] | None = None) -> HttpAnswer:
        """200 or 202 with the resource."""
        content = rendering.resource(status, self._links, users=True)
        if status.record.status not in _RUNNING:
            return json_answer(200, content, headers)
        polling = {
            "Location": await self._links.operation(status.record.id),
            "Retry-After": str(self._poll_seconds(status)),
        }
        return json_answer(202, content, polling | (headers or {}))

    def _poll_seconds(self, status: Status) -> int:
        """When asking again is worth while: at the next step or the likely end of a long request, else soon."""
        moments = [moment for moment in (status.next_at, status.finishes_at) if moment]
        if not moments:
            return _SOONEST_POLL
        left = (max(moments) - self._clock.now()).total_seconds()
        return max(_SOONEST_POLL, min(_LATEST_POLL, math.ceil(left)))
