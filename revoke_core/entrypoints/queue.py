"""The queue handlers: every request message ends in a row of the status log, whatever it holds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.errors import GuardRefused, IdempotencyConflict, InvalidRequest
from revoke_core.domain.message import parse_message, referenced_request
from revoke_core.domain.problems import IDEMPOTENCY_CONFLICT, NOT_PROCESSED, Problem, invalid_message
from revoke_core.domain.redaction import truncate_redacted
from revoke_core.domain.request_record import RequestedBy
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from revoke_core.domain.request import RequestLimits
    from revoke_core.ports.shared import Clock, WorkQueue
    from revoke_core.service.engine.worker import Worker
    from revoke_core.service.intake.submit import Submitter

# Far below the time that a platform update leaves a running function.
MAX_RUN: Final = timedelta(minutes=4)
MAX_IDLE: Final = timedelta(seconds=10)
_POISON_DELAY: Final = timedelta(minutes=1)


class QueueHandlers:
    """Handlers of request messages, work messages and their poison queues."""

    def __init__(
        self,
        *,
        submitter: Submitter,
        worker: Worker,
        queue: WorkQueue,
        clock: Clock,
        limits: RequestLimits,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._submitter = submitter
        self._worker = worker
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._ready = ready

    async def message(self, text: str, message_id: str) -> None:
        """Carry out one request message; raises only when storage is down, so that the host delivers it again."""
        submission = await self._parse_or_refuse(text, message_id)
        if submission is None:
            return
        try:
            await self._submitter.submit(submission, within=MAX_RUN)
        except IdempotencyConflict:
            await self._refuse(message_id, submission.requested_by, IDEMPOTENCY_CONFLICT, None)

    async def poison(self, text: str, message_id: str) -> None:
        """Enter a poisoned request message as a failed request, so that its sender can see it."""
        submission = await self._parse_or_refuse(text, message_id)
        if submission is not None:
            await self._refuse(message_id, submission.requested_by, NOT_PROCESSED, text)

    async def work(self, body: str) -> None:
        """Work on the request that a work message refers to."""
        request_id = referenced_request(body)
        if request_id is None:
            logs.event("work_message_unreadable", characters=len(body))
            return
        await self._ready()
        await self._worker.process_message(request_id, until=self._clock.now() + MAX_RUN, max_idle=MAX_IDLE)

    async def work_poison(self, body: str) -> None:
        """A poisoned work message is only a reference to a request: enqueue it again a little later."""
        request_id = referenced_request(body)
        logs.event("work_message_poisoned", requestId=request_id)
        if request_id is not None:
            await self._queue.put(request_id, delay=_POISON_DELAY)

    async def _parse_or_refuse(self, text: str, message_id: str) -> Submission | None:
        """What the message submits; ``None`` once an invalid message is entered as a failed request."""
        await self._ready()
        try:
            request, claims = parse_message(text, self._limits)
        except (InvalidRequest, GuardRefused) as error:
            await self._refuse(
                message_id, RequestedBy(kind="queue", id=message_id), invalid_message(error.listed()), text
            )
            return None
        # The app cannot check who sends a queue message, so a sender's name is marked as a claim.
        name = claims.requested_by
        return Submission(
            request=request,
            source="queue",
            requested_by=RequestedBy(kind="queue", id=message_id, name=name, claim=name is not None),
            idempotency_key=claims.idempotency_key or message_id,
        )

    async def _refuse(self, message_id: str, sender: RequestedBy, problem: Problem, text: str | None) -> None:
        kept = None if text is None else truncate_redacted(text)
        record = self._submitter.refused_record(requested_by=sender, problem=problem, text=kept)
        await self._submitter.refuse(message_id, record)
