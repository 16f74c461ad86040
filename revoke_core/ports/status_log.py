"""What the use cases need from the status log, as protocols, one for each table.

Who writes it:

- a request's row: ``Submitter`` when it is accepted or refused, ``Worker`` when it is begun, ``RunLoop`` when it is
  held or goes on, ``Finalizer`` when the lease is released and when the request has ended; the columns of its callback
  ``Callbacks`` after each try, through ``CallbackMarkers``;
- evidence, in the rows of an ended request and its users: ``EvidenceReader`` alone, through ``EvidenceStore``;
- users and the run row: ``UnitOfWork`` alone, for planner, sender, verifier, late look-ups and finalizer, with each
  send intent or two seconds after a result; the run row also ``Worker`` when it acquires the lease, and ``Controls``
  for confirm and cancel;
- rows are deleted by ``Planner``, those of a page that was never finished, and by ``Retention``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from revoke_core.domain.callback import CallbackEvent, CallbackState
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.request_record import RequestedBy, RequestRecord
    from revoke_core.domain.run import Run
    from revoke_core.domain.user_state import UserRow, UserStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Page[T]:
    """Some items of a list and, while there may be more, where to go on."""

    items: list[T]
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """The key under which a request comes, within the scope of its caller, and the digest of the request's body."""

    scope: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Which request holds an idempotency key, and the digest of its body."""

    request_id: str
    digest: str


class RequestRows(Protocol):
    """``Revocations``: one row per request with what was asked for, and an open marker while the request is open."""

    async def create_request(
        self,
        record: RequestRecord,
        request: RevocationRequest | None,
        *,
        redrive_at: datetime | None,
        key: IdempotencyKey | None = None,
    ) -> Claim | None:
        """Make a request durable: its row, its open marker and the claim of its key in one transaction.

        ``redrive_at`` is when the timer sends a work message unless a worker has moved that moment; ``None`` for a
        request that is over already, which gets no marker. Returns the claim of another request that holds the key:
        then nothing was written.
        """

    async def get_claim(self, scope: str, key: str, now: datetime) -> Claim | None:
        """The claim that holds a key."""

    async def get_request(self, request_id: str) -> RequestRecord | None:
        """The request's row."""

    async def get_inputs(self, request_id: str) -> RevocationRequest | None:
        """What was asked for.

        ``users`` of a large request is empty: ``part_sizes`` tells how many parts ``get_named_users`` has to read.
        """

    async def get_named_users(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """The named users of one part (from 0), at most 1,998, in order; ``None`` past the last."""

    async def update_request(self, record: RequestRecord, *, held_at: datetime | None = None) -> None:
        """Write status, counts and warnings of a request that is still open; an ended request stays as it is.

        ``held_at`` is when it became held: in the same transaction its callback, if it has one, becomes due.
        """

    async def finish_request(self, record: RequestRecord, *, evidence_at: datetime | None = None) -> None:
        """Write the final status, remove the open marker and, where there is one, have its callback become due.

        One transaction; an ended request stays as it is. ``evidence_at`` is when its evidence is to be read first: the
        same transaction makes the marker for that.
        """

    async def list_requests(
        self,
        *,
        status: str | None,
        since: datetime | None,
        size: int,
        token: str | None,
        requested_by: RequestedBy | None = None,
    ) -> Page[RequestRecord]:
        """Requests, newest first, of all callers or of one; a page may be short."""


class UserRows(Protocol):
    """``RevocationUsers``: one row per user of a request, and the request's run row."""

    async def get_run(self, request_id: str) -> Run | None:
        """The run row; ``None`` until a worker has begun the request."""

    async def save_run(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """Write at most 99 user rows and the run row in one transaction.

        The run row's ETag is the fencing token: ``LeaseLost`` when the stored run row is not the one ``run`` was
        read as.
        """

    async def request_cancel(self, request_id: str, now: datetime) -> bool:
        """Set ``cancel_requested`` on the run row, whichever worker holds it; ``False`` when there is no run row."""

    async def list_waiting(
        self, request_id: str, status: UserStatus, *, after: int, limit: int
    ) -> tuple[list[UserRow], bool]:
        """Up to ``limit`` users of a status behind a position, in order, and whether these were the last."""

    async def get_users(self, request_id: str, positions: Sequence[int]) -> list[UserRow]:
        """The rows at these positions."""

    def iter_users(self, request_id: str, *, after: int = 0) -> AsyncIterator[UserRow]:
        """All users behind a position, in order, read page by page."""

    def iter_identities(self, request_id: str, *, to: int) -> AsyncIterator[str]:
        """Object ids of the users up to a position, in order; of a user without one, the text that named it."""

    async def delete_after(self, request_id: str, *, after: int) -> None:
        """Remove the rows behind a position: what a planning page left that was never finished."""

    async def get_user(self, request_id: str, position: int) -> UserRow | None:
        """One user of a request."""

    async def list_users(
        self, request_id: str, *, status: UserStatus | None, size: int, token: str | None
    ) -> Page[UserRow]:
        """The request's users in order, page by page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackMarker:
    """A callback that is to be delivered: made when the request is held or ends, gone when it is delivered or given up.

    ``since`` is when the event occurred, ``try_at`` when the next try is due, ``version`` the marker's ETag.
    """

    request_id: str
    event: CallbackEvent
    since: datetime
    try_at: datetime
    attempts: int
    version: str


class CallbackMarkers(Protocol):
    """The callback markers in ``Revocations``: ``RequestRows`` makes one in the transaction that writes the event.

    A request has one at most: the end of a request takes the place of its being held. A marker that was changed or
    replaced since it was read is left alone by every method.
    """

    async def get(self, request_id: str) -> CallbackMarker | None:
        """The marker; ``None`` where no callback is open."""

    async def claim(self, marker: CallbackMarker, until: datetime) -> CallbackMarker | None:
        """Keep others from trying before a moment; ``None`` when another has claimed it."""

    async def postpone(self, marker: CallbackMarker, state: CallbackState, try_at: datetime) -> None:
        """Note in one transaction when to try again and, in the request's row, what came of the latest try."""

    async def close(self, marker: CallbackMarker, state: CallbackState) -> None:
        """Remove the marker and note in the request's row, if it is still there, what has come of the callback."""


class StatusLog(RequestRows, UserRows, Protocol):
    """The status log a person can read, and the run rows beside it."""


class UserIndex(Protocol):
    """``RevocationIndex``: which requests touched a user; names are kept as digests only."""

    async def add(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Enter rows under their object id and their UPN; entering twice changes nothing."""

    async def find(self, user: UserRef, *, size: int, token: str | None) -> Page[tuple[str, int]]:
        """Request ids with the user's position in each, newest first."""


class RetentionStore(Protocol):
    """What retention needs: finding old requests and removing them whole."""

    async def accepted_before(self, moment: datetime, *, token: str | None) -> Page[RequestRecord]:
        """Requests accepted before a moment, the youngest of them first."""

    async def remove(self, record: RequestRecord, *, in_time: Callable[[], bool]) -> bool:
        """Remove a request with everything that belongs to it while ``in_time`` holds; whether all of it is gone."""

    async def delete_evidence_markers(self, before: datetime) -> None:
        """Remove what is left of evidence markers of requests accepted before a moment: ``EVIDENCE`` was turned off."""
