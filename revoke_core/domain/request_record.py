"""A request as the status log shows it: its status, who asked, and the status it ends with."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from revoke_core.domain.lanes import Lane
from revoke_core.domain.user_state import Counts

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.callback import CallbackState
    from revoke_core.domain.problems import Problem


CALLER_KINDS: Final = ("key", "entra", "queue", "local")
# Their senders cannot be told apart for certain.
_SHARED_KINDS: Final = ("queue", "local")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedBy:
    """The caller: ``kind`` is key, entra, queue or local; ``claim`` marks a name that the sender itself gave.

    ``app_id`` is the client an Entra caller used; an application on its own has it too, and no name.
    """

    kind: str
    id: str | None = None
    name: str | None = None
    app_id: str | None = None
    claim: bool = False

    @property
    def key_scope(self) -> str:
        """The caller as far as idempotency keys are concerned; a queue's sender is known by what it claims to be."""
        return f"queue:{self.name or ''}" if self.kind == "queue" else f"{self.kind}:{self.id}"

    @property
    def caller(self) -> str:
        """The caller as far as shares and limits are concerned: a key, an Entra identity, or the queue as one."""
        return f"{self.kind}:{self.id}" if self.has_own_id else self.kind

    @property
    def has_own_id(self) -> bool:
        """Whether the id tells this caller from others of its kind."""
        return self.kind not in _SHARED_KINDS

    def is_same_caller(self, other: RequestedBy) -> bool:
        """Whether both are one known caller; names may change, and a caller without an id equals no other."""
        return self.id is not None and (self.kind, self.id) == (other.kind, other.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Ids by which a person finds the call in the caller's own log."""

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
    # None for a request without callbackUrl.
    callback: CallbackState | None = None
    lane: Lane = Lane.SMALL

    @property
    def may_be_retried(self) -> bool:
        """Whether users failed one by one; what stopped a whole request may have kept others from being found."""
        return self.status.is_final and self.counts.failed > 0 and self.problem is None


def final_status(counts: Counts, *, excluded: int, dry_run: bool, cancelled: int = 0) -> RequestStatus:
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
