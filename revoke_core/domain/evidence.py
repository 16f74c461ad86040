"""Evidence beside a user: who moved its cut-off, by the directory's audit log, and the first sign-in after that.

Both logs show what happened minutes later, and a sign-in may come hours later, so they are read in rounds. Shapes:
https://learn.microsoft.com/graph/api/resources/directoryaudit and https://learn.microsoft.com/graph/api/resources/signin.

Which audit entry is a user's:

- it says that this user's cut-off was moved, by an activity that revocations and password changes share;
- the app itself initiated it, and its time is the nearest to the moment at which the app's call was sent;
- where the cut-off was read back, an entry that set this very value is visible: the log has come that far, and no
  entry after it can be this call's;
- where the app has no entry there, one hour after the end, it is the entry that set the value that was read back:
  somebody else moved the cut-off while the app's own call was lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.identifiers import user_key
from revoke_core.domain.schedules import CLOCK_SKEW
from revoke_core.domain.timestamps import parsed_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.domain.responses import Answer
    from revoke_core.domain.user_state import UserRow

MOST_USERS: Final = 100
# A revocation leaves this entry and an "Update user" with the same correlation id, about a millisecond apart.
CUT_OFF_MOVED: Final = "Update StsRefreshTokenValidFrom Timestamp"
# What Graph calls a tenant without Entra ID P1 or P2: it has an audit log, but no sign-in log to be read.
NO_LICENCE: Final = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
# How often a log that Graph refuses is asked for in one request: most refusals stay, some licence checks only flicker.
MOST_REFUSALS: Final = 3

_FIRST_READ: Final = timedelta(seconds=10)
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LAST_READ: Final = timedelta(hours=24)
# The last round may be kept waiting by other requests' rounds, or by Graph, for so long.
_GIVEN_UP: Final = timedelta(hours=26)
_PATIENCE: Final = timedelta(hours=1)
# How long after its sending a call may have been carried out.
_SLOWEST_CALL: Final = timedelta(seconds=30)
# Moments closer than this are asked for in one question.
_SAME_QUESTION: Final = timedelta(minutes=1)
_LONGEST_RESULT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiator:
    """Who did something in the directory: ``kind`` is ``app`` (``id`` of its service principal) or ``user``."""

    kind: str
    id: str | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """One interactive sign-in; ``result`` is ``success``, or Entra's error code with its reason."""

    time: datetime
    app: str | None
    address: str | None
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What both logs said when they were read last.

    ``first_sign_in`` is ``None`` while there was none, or where ``sign_ins_read`` says that the log could not be read.
    """

    read_at: datetime
    initiated_by: Initiator | None = None
    correlation_id: str | None = None
    audited_at: datetime | None = None
    first_sign_in: SignIn | None = None
    sign_ins_read: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An audit entry by which a cut-off was moved to ``cut_off`` (whole seconds); ``targets`` are user keys."""

    targets: frozenset[str]
    at: datetime
    cut_off: datetime
    initiated_by: Initiator
    correlation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceMarker:
    """An ended request whose evidence is still to be read.

    ``due_at`` begins a round: whoever was read since then has been read in this round. ``refusals`` counts rounds in
    which Graph refused the audit log, ``sign_in_refusals`` those in which it refused the sign-in log alone.
    """

    request_id: str
    ended_at: datetime
    due_at: datetime
    rounds: int = 0
    refusals: int = 0
    sign_in_refusals: int = 0

    @property
    def asks_for_sign_ins(self) -> bool:
        """Whether the sign-in log has not been refused too often."""
        return self.sign_in_refusals < MOST_REFUSALS

    def is_over(self, now: datetime) -> bool:
        """Whether no more round is worth waiting for."""
        return self.refusals >= MOST_REFUSALS or now > self.ended_at + _GIVEN_UP

    def is_patient(self, now: datetime) -> bool:
        """Whether the app's own entry would have shown by now."""
        return now >= self.ended_at + _PATIENCE

    def after_round(self, now: datetime) -> EvidenceMarker | None:
        """The marker for the next round: after 1, 2, 4 … minutes, the last 24 hours after the end; then ``None``."""
        last = self.ended_at + _LAST_READ
        if now >= last:
            return None
        pause = _FIRST_PAUSE * (1 << min(self.rounds, 10))
        return replace(self, rounds=self.rounds + 1, due_at=min(now + pause, last))


def first_read_at(record: RequestRecord, ended_at: datetime) -> datetime | None:
    """When the evidence of a request that ends now is first read; ``None`` where there will be none."""
    may_have_revoked = record.counts.total > record.counts.skipped
    is_small = record.counts.total <= MOST_USERS
    return ended_at + _FIRST_READ if may_have_revoked and is_small and not record.dry_run else None


def needs_evidence(row: UserRow, marker: EvidenceMarker) -> bool:
    """Whether Graph accepted a call for this user, and something about it is still to be found."""
    return row.revoked_at is not None and (lacks_audit(row) or lacks_sign_in(row, marker))


def lacks_audit(row: UserRow) -> bool:
    """Whether the user's audit entry is still to be found."""
    return row.evidence is None or row.evidence.audited_at is None


def lacks_sign_in(row: UserRow, marker: EvidenceMarker) -> bool:
    """Whether a sign-in is still to be looked for."""
    return marker.asks_for_sign_ins and (row.evidence is None or row.evidence.first_sign_in is None)


def was_read(row: UserRow, marker: EvidenceMarker) -> bool:
    """Whether the user was read in this round, by a run of the timer that had no time left for the others."""
    return row.evidence is not None and row.evidence.read_at >= marker.due_at


# ---- the audit log


def audit_windows(rows: Iterable[UserRow]) -> list[tuple[datetime, datetime]]:
    """The spans of time in which the entries of these users are, oldest first: one question for each."""
    windows: list[tuple[datetime, datetime]] = []
    for since, until in sorted(span for row in rows if (span := _span(row))):
        if windows and since <= windows[-1][1] + _SAME_QUESTION:
            windows[-1] = (windows[-1][0], max(windows[-1][1], until))
        else:
            windows.append((since, until))
    return windows


def audit_entries(answer: Answer) -> list[AuditEntry]:
    """The entries on a page; what cannot be read as one is passed over."""
    return [entry for item in _items(answer) if (entry := _audit_entry(item))]


def entry_of(
    row: UserRow, entries: Iterable[AuditEntry], *, principal_id: str | None, is_patient: bool
) -> AuditEntry | None:
    """The user's own audit entry, as the head of this module says; ``None`` while it cannot be told."""
    span, sent_at = _span(row), row.revoked_at
    if span is None or sent_at is None:
        return None
    key = user_key(row.user_id or row.given)
    mine = [entry for entry in entries if key in entry.targets and span[0] <= entry.at <= span[1]]
    shown = [entry for entry in mine if entry.cut_off == row.valid_from]
    if row.valid_from is not None and not shown:
        return None
    own = [
        entry
        for entry in mine
        if _is_app(entry.initiated_by, principal_id) and (row.valid_from is None or entry.cut_off <= row.valid_from)
    ]
    found = own or (shown if is_patient else [])
    return min(found, key=lambda entry: abs(entry.at - sent_at), default=None)


# ---- the sign-in log


def sign_ins_since(row: UserRow) -> datetime:
    """The cut-off, from which on a sign-in counts: whole seconds, as Graph writes both."""
    moment = row.valid_from or row.revoked_at
    if moment is None:
        raise ValueError("no call for this user was accepted")
    return moment.replace(microsecond=0)


def sign_ins(answer: Answer) -> list[tuple[frozenset[str], SignIn]]:
    """The sign-ins on a page, each with its user's keys; what cannot be read as one is passed over."""
    return [entry for item in _items(answer) if (entry := _sign_in(item))]


def first_sign_in(row: UserRow, entries: Iterable[tuple[frozenset[str], SignIn]]) -> SignIn | None:
    """The user's first sign-in at or after its cut-off."""
    key, since = user_key(row.user_id or row.given), sign_ins_since(row)
    found = [sign_in for keys, sign_in in entries if key in keys and sign_in.time >= since]
    return min(found, key=lambda sign_in: sign_in.time, default=None)


# ---- reading


def with_audit(row: UserRow, entry: AuditEntry | None, *, read_at: datetime) -> UserRow:
    """The user after the audit log was read; what was found before stays."""
    evidence = replace(row.evidence or Evidence(read_at=read_at), read_at=read_at)
    if entry is not None:
        evidence = replace(
            evidence,
            initiated_by=entry.initiated_by,
            correlation_id=entry.correlation_id,
            audited_at=entry.at,
        )
    return replace(row, evidence=evidence)


def with_sign_in(row: UserRow, found: SignIn | None, *, read_at: datetime) -> UserRow:
    """The user after the sign-in log was read."""
    evidence = row.evidence or Evidence(read_at=read_at)
    return replace(row, evidence=replace(evidence, read_at=read_at, first_sign_in=found, sign_ins_read=True))


def _span(row: UserRow) -> tuple[datetime, datetime] | None:
    moments = [moment for moment in (row.revoked_at, row.valid_from) if moment]
    return (min(moments) - CLOCK_SKEW, max(moments) + _SLOWEST_CALL) if moments else None


def _is_app(initiator: Initiator, principal_id: str | None) -> bool:
    """Where the token does not tell who the app is, any application may be it."""
    return initiator.kind == "app" and (principal_id is None or (initiator.id or "").lower() == principal_id.lower())


def _items(answer: Answer) -> Sequence[dict[str, Any]]:
    value = (answer.body or {}).get("value")
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _audit_entry(item: dict[str, Any]) -> AuditEntry | None:
    at, targets = _moment(item.get("activityDateTime")), _objects(item.get("targetResources"))
    initiator = _initiator(item.get("initiatedBy"))
    is_it = str(item.get("activityDisplayName")).startswith(CUT_OFF_MOVED) and item.get("result") == "success"
    if at is None or initiator is None or not is_it:
        return None
    changes = [change for target in targets for change in _objects(target.get("modifiedProperties"))]
    named = [change for change in changes if change.get("displayName") == "StsRefreshTokensValidFrom"]
    # Old entries do not tell the value; it is the second in which they were written.
    cut_off = next((moment for change in named if (moment := _new_value(change))), at.replace(microsecond=0))
    return AuditEntry(
        targets=frozenset(
            user_key(text)
            for target in targets
            for text in (target.get("id"), target.get("userPrincipalName"))
            if isinstance(text, str)
        ),
        at=at,
        cut_off=cut_off,
        initiated_by=initiator,
        correlation_id=_text(item.get("correlationId")),
    )


def _initiator(value: Any) -> Initiator | None:
    """Exactly one of ``app`` and ``user`` is filled; a system without either says nothing about who it was."""
    given = value if isinstance(value, dict) else {}
    app, user = given.get("app"), given.get("user")
    if isinstance(app, dict):
        named = _text(app.get("displayName")) or _text(app.get("servicePrincipalName"))
        return Initiator(kind="app", id=_text(app.get("servicePrincipalId")), name=named)
    if isinstance(user, dict):
        named = _text(user.get("userPrincipalName")) or _text(user.get("displayName"))
        return Initiator(kind="user", id=_text(user.get("id")), name=named)
    return None


def _sign_in(item: dict[str, Any]) -> tuple[frozenset[str], SignIn] | None:
    time = _moment(item.get("createdDateTime"))
    if time is None:
        return None
    names = (item.get("userId"), item.get("userPrincipalName"))
    status = item.get("status")
    return (
        frozenset(user_key(name) for name in names if isinstance(name, str)),
        SignIn(
            time=time,
            app=_text(item.get("appDisplayName")),
            address=_text(item.get("ipAddress")),
            result=_result(status if isinstance(status, dict) else {}),
        ),
    )


def _result(status: dict[str, Any]) -> str:
    code = status.get("errorCode")
    if code == 0:
        return "success"
    return f"{code if isinstance(code, int) else 'unknown'}: {_text(status.get('failureReason')) or ''}"[
        :_LONGEST_RESULT
    ]


def _new_value(change: dict[str, Any]) -> datetime | None:
    """The value is a JSON list in a text: ``["2026-09-10T14:32:27Z"]``."""
    try:
        content = json.loads(str(change.get("newValue")))
    except ValueError:
        return None
    first = content[0] if isinstance(content, list) and content else content
    return _moment(first)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _moment(value: Any) -> datetime | None:
    return parsed_or_none(value) if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
