"""The states of a user within one request, and every move between them. All code that changes a user does it here.

    named ── looked up ──┬──────────────► PENDING ◄───────────────────────────────┐
                         │                   │                                    │
         set aside, or   │                   │ call sent (a SendIntent            │ Graph certainly did not act,
         not to be found │                   ▼ is committed before it)            │ or the last read finds the
                         │         ┌─ Graph's answer ─┬───────────────────────────┤ cut-off unmoved: send again
                         │         │                  │                           │
                         │         │ 2xx              │ unknown: lost, 5xx, crash │
                         │         ▼                  ▼                           │
                         │      REVOKED        PENDING, ambiguous ────────────────┘
                         │         │                  │
                         │         │ the cut-off has moved past the call
                         │         ▼                  ▼
                         │      VERIFIED ◄────────────┘
                         ▼
     SKIPPED  PLANNED  FAILED ◄── refused by Graph; unverified after the last read; cancelled, aborted or too old

A user whom Graph cannot look up now is ``PENDING`` too, but deferred: it is looked up again by itself, and sent
without only where its object id is known. ``PENDING`` and, while cut-offs are read back, ``REVOKED`` are open; every
other status is final.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.identifiers import UserRef, entity_user, parse_user, user_key
from revoke_core.domain.responses import Ambiguity, Answer, Delivery, Effect, Verdict, cut_off_of
from revoke_core.domain.schedules import CLOCK_SKEW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from revoke_core.domain.entity_names import EntityName
    from revoke_core.domain.evidence import Evidence
    from revoke_core.domain.problems import Problem


class UserStatus(StrEnum):
    """What is known of one user, as callers see it."""

    PENDING = "pending"
    REVOKED = "revoked"
    VERIFIED = "verified"
    SKIPPED = "skipped"
    PLANNED = "planned"
    FAILED = "failed"


# When the cut-off of an ambiguous user is read, counted from the sending; after the last read the call is sent again.
SETTLE_READS: Final = tuple(timedelta(seconds=s) for s in (1, 5, 30, 120))
# Where Graph itself says that it is unavailable it has most likely done nothing, and is asked again soon.
_UNAVAILABLE_READS: Final = SETTLE_READS[:1]
# Replication of the cut-off takes seconds to minutes; after the last read the user ends failed/unverified.
VERIFY_READS: Final = tuple(timedelta(seconds=s) for s in (0, 1, 3, 8, 15, 30, 60, 120, 180, 300, 450, 600))
# Graph knew the user when it took the call. A 404 soon after may come from a replica that lags behind.
_GONE_AFTER: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """One user of one request; ``position`` counts from 1 in the order first named.

    ``sent_at`` (Graph's clock) is when the latest revoke call was sent; ``None`` once Graph certainly did not carry it
    out. A ``pending`` row that has it is ambiguous: its cut-off is read before anything is sent again, and
    ``ambiguity`` decides for how long. ``valid_from_before`` is the cut-off as the look-up found it.
    ``unverified_resends`` counts calls repeated where the app may not read users. ``failed_lookups`` counts look-ups
    in a row that brought nothing about this user: while there are any, it waits apart from the others. ``entity`` is
    how another product's payload named the user, where that was neither object id nor UPN. ``evidence`` comes after the
    request has ended.
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
    ambiguity: Ambiguity | None = None
    unverified_resends: int = 0
    failed_lookups: int = 0
    problem: Problem | None = None
    entity: EntityName | None = None
    evidence: Evidence | None = None

    @property
    def named(self) -> str:
        """The text that named the user; a mail address is told from the same text as a UPN."""
        return self.entity.text if self.entity else self.given

    @property
    def keys(self) -> set[str]:
        """All that the user is known by: the text that named it, its object id, its UPN."""
        return {user_key(name) for name in (self.named, self.user_id, self.user_principal_name) if name}

    @property
    def identity(self) -> str:
        """What the users of one request are told apart by."""
        is_unknown = self.problem is not None and self.problem.code == problems.USER_NOT_FOUND.code
        return identity_of(self.named, self.user_id, is_unknown=is_unknown and not self.attempts)

    @property
    def target(self) -> UserRef:
        """How the user is addressed in a call to Graph: by object id where it is known."""
        if self.entity and not self.user_id:
            return entity_user(self.entity)
        named = parse_user(self.user_id or self.given)
        if named is None:
            raise ValueError("a row of the status log names no user")
        return named

    @property
    def is_ambiguous(self) -> bool:
        """Whether a call for this user may have been carried out without the app knowing."""
        return self.status is UserStatus.PENDING and self.sent_at is not None

    @property
    def awaits_lookup(self) -> bool:
        """Whether the user is deferred: Graph could not look it up when its page was planned."""
        return self.status is UserStatus.PENDING and self.failed_lookups > 0 and self.sent_at is None

    @property
    def is_looked_up(self) -> bool:
        """Whether Graph has said who the user is; it may have said no UPN."""
        return self.user_id is not None and (self.user_principal_name or self.valid_from_before) is not None

    def ended(self, status: UserStatus, problem: Problem | None = None) -> UserRow:
        """The row in a final status."""
        return replace(self, status=status, problem=problem)


def identity_of(named: str, user_id: str | None, *, is_unknown: bool) -> str:
    """The object id, or the name where that is not known.

    A name that Graph does not know stands for itself alone: another name of the same person may be known, and a replica
    that lags behind knows one of two.
    """
    return f"unknown {user_key(named)}" if is_unknown else user_id or user_key(named)


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
        """The counts changed by so many per name, as ``moves_of`` returns them."""
        return replace(self, **{name: getattr(self, name) + by for name, by in moves.items()})


def moves_of(changes: Iterable[tuple[UserRow | None, UserRow]]) -> Counter[str]:
    """How pairs of a row before (``None`` for a new one) and after change the counts."""
    pairs = list(changes)
    moves = Counter(after.status.value for _, after in pairs)
    moves.subtract(before.status.value for before, _ in pairs if before)
    moves["total"] = sum(before is None for before, _ in pairs)
    return moves


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalReason:
    """Why every user who is still open ends now: cancelled, refused, aborted or too old.

    Ambiguous users are settled by reading first. Once the request is too old they are not read any more: then
    ``unsettled`` is their problem, because they may have been sent.
    """

    status: UserStatus
    problem: Problem
    unsettled: Problem | None = None

    @property
    def is_too_old(self) -> bool:
        """Whether no read is waited for any more."""
        return self.unsettled is not None


# ---- planning


def set_aside(row: UserRow, *, excluded: frozenset[str], protected: frozenset[str], external: bool) -> UserRow:
    """A looked-up user who is not to be revoked ends ``skipped``; the keys are ids and UPNs in lower case."""
    if row.status is not UserStatus.PENDING:
        return row
    reasons = (
        (bool(row.keys & excluded), problems.EXCLUDED),
        (bool(row.keys & protected), problems.PROTECTED),
        (external, problems.EXTERNAL_USER),
    )
    return next((row.ended(UserStatus.SKIPPED, problem) for applies, problem in reasons if applies), row)


# ---- sending


def after_revoke(row: UserRow, answer: Answer, verdict: Verdict, *, sent_at: datetime, readable: bool) -> UserRow:
    """The user after a revoke call for it was answered, lost or never made.

    ``readable`` says whether the app may read users; where it may not, an ambiguous call is resolved without a read.
    """
    sent = replace(row, sent_at=sent_at, attempts=row.attempts + 1)
    match verdict.effect:
        case Effect.ACCEPTED:
            return replace(sent.ended(UserStatus.REVOKED), revoked_at=sent_at, graph_request_id=answer.request_id)
        case Effect.FINAL | Effect.FORBIDDEN:
            # The only trace of a refused call: the directory's audit log has none.
            failed = sent.ended(UserStatus.FAILED, verdict.problem)
            return replace(failed, sent_at=None, graph_request_id=answer.request_id)
        case Effect.RETRY:
            # A 429, say: Graph did not act, so the user stays pending without ambiguity and is sent again once the gate
            # is open; the other items of its batch are judged by their own answers.
            never_left = answer.delivery in (Delivery.NOT_SENT, Delivery.UNOPENED)
            return replace(sent, sent_at=None, attempts=sent.attempts - never_left)
    ambiguous = replace(sent, ambiguity=verdict.ambiguity)
    return ambiguous if readable else resolve_without_read(ambiguous)


def after_crash(row: UserRow, sent_at: datetime) -> UserRow:
    """A user of a send intent whose worker died: ambiguous from when the call was announced, unless it is settled."""
    if row.status is not UserStatus.PENDING or row.sent_at is not None:
        return row
    return replace(row, sent_at=sent_at, attempts=row.attempts + 1, ambiguity=Ambiguity.CRASH)


def resolve_without_read(row: UserRow) -> UserRow:
    """An ambiguous user whom the app may not read: the call is made once more, then it fails.

    It is made as often as it takes where Graph said that it was unavailable.
    """
    if row.ambiguity is Ambiguity.UNAVAILABLE:
        return replace(row, sent_at=None, ambiguity=None)
    if row.unverified_resends:
        return row.ended(UserStatus.FAILED, problems.OUTCOME_UNKNOWN)
    return replace(row, sent_at=None, ambiguity=None, unverified_resends=row.unverified_resends + 1)


# ---- reading cut-offs


def next_read(row: UserRow, last_read: datetime | None) -> datetime | None:
    """When the row's cut-off is to be read next (Graph's clock), or ``None`` once every planned read was made.

    ``last_read`` is this worker's own latest read; a worker that has just taken over reads at once what is due.
    """
    if row.sent_at is None:
        return None
    revoked = row.status is UserStatus.REVOKED
    offsets = (
        VERIFY_READS if revoked else _UNAVAILABLE_READS if row.ambiguity is Ambiguity.UNAVAILABLE else SETTLE_READS
    )
    due = [row.sent_at + offset for offset in offsets]
    return next((moment for moment in due if last_read is None or moment > last_read), None)


def after_read(row: UserRow, answer: Answer, verdict: Verdict, *, now: datetime, verifying: bool) -> UserRow:
    """The user after its cut-off was read; the same row when the read decides nothing.

    ``now`` (Graph's clock) is when the read was made. Without ``verifying``, ``revoked`` is final.
    """
    match verdict.effect:
        case Effect.RETRY | Effect.AMBIGUOUS:
            return row
        case Effect.FINAL if row.status is not UserStatus.REVOKED:
            return row.ended(UserStatus.FAILED, verdict.problem)
        case Effect.FINAL:
            is_gone = row.sent_at is not None and now >= row.sent_at + _GONE_AFTER
            return row.ended(UserStatus.FAILED, problems.UNVERIFIED) if is_gone else row
    # A user whom the app alone may not read (FORBIDDEN) looks like one whose cut-off does not move.
    return _after_cut_off(row, cut_off_of(answer), is_last=next_read(row, now) is None, verifying=verifying)


def _after_cut_off(row: UserRow, valid_from: datetime | None, *, is_last: bool, verifying: bool) -> UserRow:
    if row.status is UserStatus.REVOKED:
        if has_moved(row, valid_from):
            return replace(row.ended(UserStatus.VERIFIED), valid_from=valid_from)
        return row.ended(UserStatus.FAILED, problems.UNVERIFIED) if is_last else row
    if settles(row, valid_from):
        settled = replace(row, revoked_at=row.sent_at, ambiguity=None)
        if not verifying:
            return settled.ended(UserStatus.REVOKED)
        return replace(settled.ended(UserStatus.VERIFIED), valid_from=valid_from)
    return replace(row, sent_at=None, ambiguity=None) if is_last else row


def has_moved(row: UserRow, valid_from: datetime | None) -> bool:
    """Whether a cut-off proves the row's call: not older than its sending, Graph's clock, whole seconds, 5 s skew."""
    if valid_from is None or row.sent_at is None:
        return False
    return valid_from >= row.sent_at.replace(microsecond=0) - CLOCK_SKEW


def settles(row: UserRow, valid_from: datetime | None) -> bool:
    """Whether a cut-off shows that an ambiguous call was carried out.

    Stricter than ``has_moved``: a cut-off that already stood before the call was sent says nothing about it.
    """
    if not has_moved(row, valid_from):
        return False
    return row.valid_from_before is None or valid_from != row.valid_from_before


# ---- ending early


def after_termination(row: UserRow, reason: TerminalReason) -> UserRow:
    """An open user once the request ends without it."""
    if row.status is UserStatus.REVOKED:
        return row.ended(UserStatus.FAILED, problems.UNVERIFIED)
    if reason.unsettled and row.sent_at:
        return row.ended(UserStatus.FAILED, reason.unsettled)
    return row.ended(reason.status, reason.problem)
