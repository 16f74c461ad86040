"""The queue door: every message ends in a row of the status log, whatever it says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.errors import GuardRefused, IdempotencyConflict, InvalidRequest
from revoke_core.domain.message import parse_message, referenced_request
from revoke_core.domain.problems import IDEMPOTENCY_CONFLICT, NOT_PROCESSED, invalid_message
from revoke_core.domain.redaction import kept
from revoke_core.domain.results import Problem, RequestedBy
from revoke_core.service.submitting import Submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from revoke_core.domain.request import Limits, QueueClaims
    from revoke_core.ports import Clock, WorkQueue
    from revoke_core.service.submitting import Submitter
    from revoke_core.service.worker import Worker

# A slice stays far below the time a platform update leaves a running function.
SLICE: Final = timedelta(minutes=4)
QUEUE_PATIENCE: Final = timedelta(seconds=10)
_POISON_DELAY: Final = timedelta(minutes=1)


class QueueDoor:
    """Handlers of the doors' queue, the work queue and their poison queues."""

    def __init__(
        self,
        *,
        submitter: Submitter,
        worker: Worker,
        queue: WorkQueue,
        clock: Clock,
        limits: Limits,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._ready = ready
        self._submitter = submitter
        self._worker = worker
        self._queue = queue
        self._clock = clock
        self._limits = limits

    async def message(self, text: str, message_id: str) -> None:
        """Carry out one message; raises only when storage is down, so that the host delivers it again."""
        await self._ready()
        sender = RequestedBy(kind="queue", id=message_id)
        try:
            request, claims = parse_message(text, self._limits)
        except (InvalidRequest, GuardRefused) as problem:
            faults = (
                problem.listed()
                if isinstance(problem, InvalidRequest)
                else [{"pointer": problem.pointer, "detail": problem.detail}]
            )
            await self._refuse(invalid_message(faults), sender, message_id, text)
            return
        sender = _sender(claims, message_id)
        submission = Submission(
            request=request,
            source="queue",
            requested_by=sender,
            idempotency_key=claims.idempotency_key or message_id,
        )
        try:
            await self._submitter.submit(submission, within=SLICE)
        except IdempotencyConflict:
            await self._refuse(IDEMPOTENCY_CONFLICT, sender, message_id, None)

    async def poison(self, text: str, message_id: str) -> None:
        """Enter what ended in the doors' poison queue, so that its sender can see it."""
        await self._ready()
        sender = RequestedBy(kind="queue", id=message_id)
        try:
            _, claims = parse_message(text, self._limits)
        except (InvalidRequest, GuardRefused) as problem:
            faults = problem.listed() if isinstance(problem, InvalidRequest) else []
            await self._refuse(invalid_message(faults), sender, message_id, text)
        else:
            await self._refuse(NOT_PROCESSED, _sender(claims, message_id), message_id, text)

    async def work(self, body: str) -> None:
        """Go on with the request that a work message refers to."""
        request_id = referenced_request(body)
        if request_id is None:
            logs.event("work_message_unreadable", characters=len(body))
            return
        await self._ready()
        await self._worker.resume(request_id, until=self._clock.now() + SLICE, patience=QUEUE_PATIENCE)

    async def work_poison(self, body: str) -> None:
        """A work message that failed again and again is only a reference: send it again a little later."""
        request_id = referenced_request(body)
        logs.event("work_message_poisoned", requestId=request_id)
        if request_id is not None:
            await self._queue.put(request_id, delay=_POISON_DELAY)

    async def _refuse(self, problem: Problem, sender: RequestedBy, message_id: str, text: str | None) -> None:
        record = self._submitter.refused_record(
            requested_by=sender, problem=problem, text=kept(text) if text is not None else None
        )
        await self._submitter.refuse(message_id, record)


def _sender(claims: QueueClaims, message_id: str) -> RequestedBy:
    """Nobody checks who sends a queue message: what it says of itself is marked as a claim."""
    named = claims.requested_by
    return RequestedBy(kind="queue", id=message_id, name=named, claim=named is not None)
