"""The queue handlers: every request message ends in a row of the status log, whatever it holds.

A message that cannot be carried out now, because storage does not answer or new requests are refused, goes back to its
queue under its first id and with its age, and waits longer each time: the host alone would give it up after five tries.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.errors import GuardRefused, IdempotencyConflict, InvalidRequest, RevokingPaused, TooManyOpen
from revoke_core.domain.message import parse_message, referenced_callback, referenced_request
from revoke_core.domain.problems import IDEMPOTENCY_CONFLICT, NOT_PROCESSED, Problem, invalid_message
from revoke_core.domain.redaction import truncate_redacted
from revoke_core.domain.redelivery import WaitingMessage, received
from revoke_core.domain.request_record import RequestedBy
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from revoke_core.domain.request import RequestLimits
    from revoke_core.ports.shared import Clock, WorkQueue
    from revoke_core.service.engine.worker import Worker
    from revoke_core.service.intake.submit import Submitter
    from revoke_core.service.upkeep.callbacks import Callbacks

# Far below the time that a platform update leaves a running function.
MAX_RUN: Final = timedelta(minutes=4)
MAX_IDLE: Final = timedelta(seconds=10)
_POISON_DELAY: Final = timedelta(minutes=1)
# A message that ended so many hosts goes back before it is tried again: the host's own five tries must not run out.
_TRIES_IN_PLACE: Final = 2


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
        callbacks: Callbacks,
    ) -> None:
        self._submitter = submitter
        self._worker = worker
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._ready = ready
        self._callbacks = callbacks

    async def message(self, text: str, message_id: str, *, inserted_at: datetime | None = None, tries: int = 1) -> None:
        """Carry out one request message; raises only when neither tables nor queue answer, so that the host repeats it.

        ``tries`` is how often the host has delivered it: more than once when a host died with it in hand.
        """
        waiting = received(text, message_id, inserted_at or self._clock.now())
        if tries > _TRIES_IN_PLACE:
            await self._give_back(waiting)
            return
        try:
            await self._carry_out(waiting)
        except (RevokingPaused, TooManyOpen):
            await self._give_back(waiting)
        except Exception as problem:  # noqa: BLE001 -- whatever it is, it must not use up the host's tries
            logs.failure("message_not_carried_out", problem, givenBack=waiting.given_back)
            await self._give_back(waiting)

    async def poison(self, text: str, message_id: str, *, inserted_at: datetime | None = None) -> None:
        """Put a message that the host gave up back into its queue; enter it as failed if it is invalid or too old."""
        waiting = received(text, message_id, inserted_at or self._clock.now())
        try:
            await self._ready()
            is_good = await self._submission_of(waiting) is not None
        except Exception as problem:  # noqa: BLE001 -- as above
            logs.failure("message_not_carried_out", problem, givenBack=waiting.given_back)
            is_good = True
        if is_good:
            await self._give_back(waiting)

    async def _carry_out(self, waiting: WaitingMessage) -> None:
        await self._ready()
        submission = await self._submission_of(waiting)
        if submission is None:
            return
        try:
            await self._submitter.submit(submission, within=MAX_RUN)
        except IdempotencyConflict:
            await self._refuse(waiting.message_id, submission.requested_by, IDEMPOTENCY_CONFLICT, None)

    async def _give_back(self, waiting: WaitingMessage) -> None:
        await self._queue.give_back(waiting.envelope(), delay=waiting.pause)
        logs.event("message_given_back", givenBack=waiting.given_back + 1, seconds=waiting.pause.total_seconds())

    async def work(self, body: str) -> None:
        """Work on the request that a work message refers to, or deliver its callback."""
        if callback := referenced_callback(body):
            await self._ready()
            await self._callbacks.deliver(callback)
            return
        request_id = referenced_request(body)
        if request_id is None:
            logs.event("work_message_unreadable", characters=len(body))
            return
        await self._ready()
        await self._worker.process_message(request_id, until=self._clock.now() + MAX_RUN, max_idle=MAX_IDLE)

    async def work_poison(self, body: str) -> None:
        """A poisoned work message is only a reference to a request: enqueue it again a little later.

        A callback's is not: the timer finds its marker.
        """
        request_id = referenced_request(body)
        logs.event("work_message_poisoned", requestId=request_id)
        if request_id is not None:
            await self._queue.put(request_id, delay=_POISON_DELAY)

    async def _submission_of(self, waiting: WaitingMessage) -> Submission | None:
        """What the message submits; ``None`` once a message that is invalid or too old is entered as failed."""
        message_id, text = waiting.message_id, waiting.text
        try:
            request, claims = parse_message(text, self._limits)
        except (InvalidRequest, GuardRefused) as error:
            sender = RequestedBy(kind="queue", id=message_id)
            await self._refuse(message_id, sender, invalid_message(error.listed()), text)
            return None
        # The app cannot check who sends a queue message, so a sender's name is marked as a claim.
        name = claims.requested_by
        sender = RequestedBy(kind="queue", id=message_id, name=name, claim=name is not None)
        if waiting.is_too_old(self._clock.now()):
            await self._refuse(message_id, sender, NOT_PROCESSED, text)
            return None
        return Submission(
            request=request,
            source="queue",
            requested_by=sender,
            idempotency_key=claims.idempotency_key or message_id,
        )

    async def _refuse(self, message_id: str, sender: RequestedBy, problem: Problem, text: str | None) -> None:
        kept = None if text is None else truncate_redacted(text)
        record = self._submitter.refused_record(requested_by=sender, problem=problem, text=kept)
        await self._submitter.refuse(message_id, record)
