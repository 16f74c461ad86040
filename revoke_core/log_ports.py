"""What the use cases need from the status log's rows, as protocols, one for each table.

``ports.StatusLog`` is the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.results import RequestedBy, RequestRecord, UserRow, UserStatus
    from revoke_core.domain.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Page[T]:
    """Some items of a list and, while there may be more, where to go on."""

    items: list[T]
    token: str | None = None


class RequestRows(Protocol):
    """``Revocations``: one row per request, and what was asked for."""

    async def create(self, record: RequestRecord, request: RevocationRequest | None) -> None:
        """Make a request durable; once this returns it will be carried out."""

    async def get(self, request_id: str) -> RequestRecord | None:
        """The request's row."""

    async def inputs(self, request_id: str) -> RevocationRequest | None:
        """What was asked for.

        ``users`` of a large request is empty: ``part_sizes`` tells how many parts ``named_users`` has to read.
        """

    async def named_users(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """The named users of one part (from 0), at most 1,998, in order; ``None`` past the last."""

    async def update(self, record: RequestRecord) -> None:
        """Write the parts of a request's row that change: status, counts, warnings, error, end."""

    async def page(
        self,
        *,
        status: str | None,
        since: datetime | None,
        size: int,
        token: str | None,
        requested_by: RequestedBy | None = None,
    ) -> Page[RequestRecord]:
        """Requests, newest first: everybody's or one caller's; a page may be short."""


class UserRows(Protocol):
    """``RevocationUsers``: one row per user of a request, and the request's run row."""

    async def run(self, request_id: str) -> Run | None:
        """The request's run row, once it was begun."""

    async def save(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """Write at most 99 rows and the run together or not at all; ``LeaseLost`` when the run row has moved on."""

    async def request_cancel(self, request_id: str, now: datetime) -> bool:
        """Set the run's wish to be cancelled, due now, whoever works on it; ``False`` when there is no run row."""

    async def waiting_rows(
        self, request_id: str, status: UserStatus, *, after: int, limit: int
    ) -> tuple[list[UserRow], bool]:
        """Up to ``limit`` users of a status behind a position, in order, and whether these were the last."""

    async def rows_at(self, request_id: str, positions: Sequence[int]) -> list[UserRow]:
        """The rows of these users."""

    def rows(self, request_id: str, *, after: int = 0) -> AsyncIterator[UserRow]:
        """All users behind a position, in order, read page by page."""

    def identities(self, request_id: str, *, to: int) -> AsyncIterator[str]:
        """Who the users up to a position are, in order: the object id, or the text that named a user without one."""

    async def trim(self, request_id: str, *, after: int) -> None:
        """Remove rows behind a position: those of a page of planning that was not finished."""

    async def row(self, request_id: str, position: int) -> UserRow | None:
        """One user of a request."""

    async def row_page(
        self, request_id: str, *, status: UserStatus | None, size: int, token: str | None
    ) -> Page[UserRow]:
        """The request's users in order, page by page."""


class Archive(Protocol):
    """What retention needs: finding old requests and removing them whole."""

    async def accepted_before(self, moment: datetime, *, token: str | None) -> Page[RequestRecord]:
        """Requests accepted before a moment, the youngest of them first."""

    async def remove(self, record: RequestRecord, *, in_time: Callable[[], bool]) -> bool:
        """Remove a request with everything that belongs to it, as long as it is ``in_time``; whether all is gone."""

    async def forget_claims(self, before: datetime) -> None:
        """Remove idempotency keys claimed before a moment."""
