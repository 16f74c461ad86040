"""The words of the status log: user and request statuses, counts, and the final word over a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from revoke_core.domain.identifiers import user_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


class UserStatus(StrEnum):
    """What is known of one user; everything but ``pending`` and an unproven ``revoked`` is final."""

    PENDING = "pending"
    REVOKED = "revoked"
    VERIFIED = "verified"
    SKIPPED = "skipped"
    PLANNED = "planned"
    FAILED = "failed"


class RequestStatus(StrEnum):
    """Where a request stands."""

    ACCEPTED = "accepted"
    HELD = "held"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partiallySucceeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PLANNED = "planned"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (RequestStatus.ACCEPTED, RequestStatus.HELD, RequestStatus.RUNNING)


class Doubt(StrEnum):
    """Why nobody knows whether Graph carried a revoke call out."""

    LOST = "lost"
    CRASH = "crash"
    ERROR = "error"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something did not happen: a stable code, a sentence, and what a person can do about it."""

    code: str
    message: str
    hint: str = ""
    faults: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """One user of one request; ``position`` counts from 1 in the order first named.

    ``sent_at`` is the write-ahead mark: set before a revoke call leaves, cleared when Graph certainly did not carry it
    out. A ``pending`` row that has it is in doubt and is settled by reading the cut-off, never by sending again first.
    ``doubt`` says why: how long it is read before it is sent again depends on that.
    ``valid_from_before`` is the cut-off as it was read before anything was sent.
    """

    position: int
    given: str
    user_id: str | None = None
    user_principal_name: str | None = None
    status: UserStatus = UserStatus.PENDING
    revoked_at: datetime | None = None
    valid_from: datetime | None = None
    valid_from_before: datetime | None = None
    graph_request_id: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    doubt: Doubt | None = None
    blind_repeats: int = 0
    problem: Problem | None = None

    @property
    def keys(self) -> set[str]:
        """All that the user is known by: as it was named, its object id, its UPN."""
        return {user_key(name) for name in (self.given, self.user_id, self.user_principal_name) if name}

    def ended(self, status: UserStatus, problem: Problem | None = None) -> UserRow:
        """The row with its last word."""
        return replace(self, status=status, problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Disjoint numbers of users that sum to ``total``; ``duplicates`` were folded and are not in it."""

    total: int = 0
    pending: int = 0
    revoked: int = 0
    verified: int = 0
    skipped: int = 0
    failed: int = 0
    planned: int = 0
    duplicates: int = 0

    def plus(self, moves: Mapping[str, int]) -> Counts:
        """The counts changed by so many per name, as ``moves_of`` tells them."""
        return replace(self, **{name: getattr(self, name) + by for name, by in moves.items()})


def moves_of(changes: Iterable[tuple[UserRow | None, UserRow]]) -> Counter[str]:
    """What pairs of a row before (``None`` for a new one) and after do to the counts."""
    pairs = list(changes)
    moves = Counter(after.status.value for _, after in pairs)
    moves.subtract(before.status.value for before, _ in pairs if before)
    moves["total"] = sum(before is None for before, _ in pairs)
    return moves


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedBy:
    """Who asked: ``kind`` is key, entra, queue or local; ``claim`` marks what a sender says of itself.

    ``app_id`` is the client an Entra caller used; an application on its own has it too, and no name.
    """

    kind: str
    id: str | None = None
    name: str | None = None
    app_id: str | None = None
    claim: bool = False

    @property
    def scope(self) -> str:
        """The caller as far as idempotency keys are concerned; all queue senders share one scope."""
        return "queue" if self.kind == "queue" else f"{self.kind}:{self.id}"

    def is_same_caller(self, other: RequestedBy) -> bool:
        """Whether both are one known caller; names may change, and callers without an id are nobody's equal."""
        return self.id is not None and (self.kind, self.id) == (other.kind, other.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """What lets a person find the caller's side of the story."""

    client_request_id: str | None = None
    workflow_run_id: str | None = None
    workflow_name: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request in the status log."""

    id: str
    status: RequestStatus
    source: str
    requested_by: RequestedBy
    requested_at: datetime
    correlation: Correlation = field(default_factory=Correlation)
    completed_at: datetime | None = None
    reason: str | None = None
    dry_run: bool = False
    verify: bool = True
    warnings: tuple[str, ...] = ()
    counts: Counts = field(default_factory=Counts)
    problem: Problem | None = None
    message_text: str | None = None
    retry_of: str | None = None

    @property
    def may_be_retried(self) -> bool:
        """Whether users failed one by one; what stopped a whole request may have kept others from being found."""
        return self.status.is_final and self.counts.failed > 0 and self.problem is None


SUCCESS: Final = frozenset({UserStatus.REVOKED, UserStatus.VERIFIED})


def final_word(counts: Counts, *, excluded: int, dry_run: bool, cancelled: int = 0) -> RequestStatus:
    """The status a request ends with; it never flatters.

    ``excluded`` is the number of users whom the caller itself excluded: only they do not count against success.
    ``cancelled`` is the number of users whom a cancellation kept from being revoked.
    """
    if cancelled:
        return RequestStatus.CANCELLED
    if dry_run and counts.total:
        return RequestStatus.PLANNED
    revoked = counts.revoked + counts.verified
    if not revoked:
        return RequestStatus.FAILED
    if revoked + excluded == counts.total:
        return RequestStatus.SUCCEEDED
    return RequestStatus.PARTIALLY_SUCCEEDED
