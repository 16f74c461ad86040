"""What one answer of Microsoft Graph means for one user.

A 403 is read by the roles of the token, never by its message: Microsoft uses two texts for two causes without saying
which is which (https://learn.microsoft.com/graph/errors advises against branching on messages).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import permission_problems, problems
from revoke_core.domain.permissions import REVOKE, TokenFacts
from revoke_core.domain.results import Doubt, UserRow, UserStatus

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from revoke_core.domain.results import Problem


class Delivery(StrEnum):
    """How far a call came: answered, sent without an answer reaching us, or certainly never sent.

    ``UNOPENED`` are the calls of a batch that Graph refuses as such: none was made, and nothing is said about any.
    """

    ANSWERED = "answered"
    LOST = "lost"
    NOT_SENT = "notSent"
    UNOPENED = "unopened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Graph's answer to one call or one item of a batch; ``body`` is its JSON object, or ``None``.

    A call that was not sent has the status that Graph would have given it: 401 for want of a token, 429 while the gate
    is closed.
    """

    delivery: Delivery
    status: int = 0
    body: dict[str, Any] | None = None
    request_id: str | None = None
    retry_after: timedelta | None = None
    date: datetime | None = None

    @property
    def is_success(self) -> bool:
        """Any 2xx: Graph's documentation asks not to look at the body."""
        return self.delivery is Delivery.ANSWERED and 200 <= self.status < 300  # noqa: PLR2004 -- HTTP's own range


class Effect(StrEnum):
    """What to do with the user next."""

    ACCEPTED = "accepted"
    FINAL = "final"
    AGAIN = "again"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An effect with its reason; ``pause`` is the wait Graph asked for, if it did. ``doubt`` goes with ``DOUBT``."""

    effect: Effect
    problem: Problem | None = None
    pause: timedelta | None = None
    doubt: Doubt | None = None


_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_BAD_REQUEST: Final = 400
_THROTTLED: Final = 429
_NOT_CARRIED_OUT: Final = frozenset({408, 409, 412, 423, 424})
_UNAVAILABLE: Final = 503
_SERVER_ERRORS: Final = frozenset({500, 502, 504, 507})


def of_revoke(answer: Answer, token: TokenFacts, *, token_has_revoked: bool) -> Verdict:
    """The verdict on a revoke call.

    ``token_has_revoked`` says whether this very token has revoked somebody, which proves its permission.
    A 5xx may hide a call that was carried out: it is in doubt, like a lost answer.
    """
    if answer.delivery is Delivery.LOST:
        return Verdict(Effect.DOUBT, problems.GRAPH_UNAVAILABLE, doubt=Doubt.LOST)
    if answer.is_success:
        return Verdict(Effect.ACCEPTED)
    if answer.status == _FORBIDDEN:
        return Verdict(Effect.FINAL, _forbidden(token, token_has_revoked=token_has_revoked))
    if answer.delivery is Delivery.ANSWERED and answer.status in {_UNAVAILABLE, *_SERVER_ERRORS}:
        doubt = Doubt.REFUSED if answer.status == _UNAVAILABLE else Doubt.ERROR
        return Verdict(Effect.DOUBT, problems.GRAPH_UNAVAILABLE, answer.retry_after, doubt)
    return _common(answer)


def unread(row: UserRow) -> UserRow:
    """What becomes of a user in doubt whom the app may not read: the call is made once more.

    It is made as often as it takes where Graph said that it was unavailable.
    """
    if row.doubt is Doubt.REFUSED:
        return replace(row, sent_at=None, doubt=None)
    if row.blind_repeats:
        return row.ended(UserStatus.FAILED, problems.OUTCOME_UNKNOWN)
    return replace(row, sent_at=None, doubt=None, blind_repeats=row.blind_repeats + 1)


def of_read(answer: Answer) -> Verdict:
    """The verdict on reading a user.

    ``FINAL`` without a problem is a 403: the app may not read users, or not this one; the token tells which.
    """
    if answer.is_success:
        if isinstance(answer.body, dict) and isinstance(answer.body.get("id"), str):
            return Verdict(Effect.ACCEPTED)
        return Verdict(Effect.AGAIN, problems.GRAPH_UNAVAILABLE)
    if answer.status == _FORBIDDEN:
        return Verdict(Effect.FINAL, None)
    return _common(answer)


def of_listing(answer: Answer, *, unknown: Problem) -> Verdict:
    """The verdict on a page of a list; ``unknown`` is what a 404 means here.

    ``FINAL`` without a problem means that the app may not read the list, or that Graph refuses the question itself:
    the status tells which.
    """
    if answer.is_success:
        if isinstance(answer.body, dict) and isinstance(answer.body.get("value"), list):
            return Verdict(Effect.ACCEPTED)
        return Verdict(Effect.AGAIN, problems.GRAPH_UNAVAILABLE)
    if answer.status == _NOT_FOUND:
        return Verdict(Effect.FINAL, unknown)
    if answer.status in (_FORBIDDEN, _BAD_REQUEST):
        return Verdict(Effect.FINAL, None)
    return _common(answer)


def asked_pause(answer: Answer) -> timedelta | None:
    """The wait that Graph asks for, unless the answer is its last word: what any verdict on it has as ``pause``."""
    return None if answer.is_success else _common(answer).pause


def next_link(answer: Answer) -> str | None:
    """Where the next page of a list is, if there is one; "", which leads nowhere, where that cannot be told."""
    link = answer.body.get("@odata.nextLink") if answer.is_success and answer.body else None
    return link if link is None or isinstance(link, str) else ""


def graph_error(answer: Answer) -> tuple[str, str] | None:
    """Graph's own code and message, or ``None`` when the answer is none of Graph's error bodies."""
    error = answer.body.get("error") if answer.body else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    message = error.get("message")
    return error["code"], message if isinstance(message, str) else ""


def _common(answer: Answer) -> Verdict:
    status = answer.status
    if status == _UNAUTHORIZED:
        return Verdict(Effect.AGAIN, problems.NO_TOKEN)
    if status == _THROTTLED:
        return Verdict(Effect.AGAIN, problems.THROTTLED, answer.retry_after)
    if answer.delivery is not Delivery.ANSWERED or status in _NOT_CARRIED_OUT or not 400 <= status < 500:  # noqa: PLR2004 -- HTTP's own range
        return Verdict(Effect.AGAIN, problems.GRAPH_UNAVAILABLE, answer.retry_after)
    if status == _NOT_FOUND:
        return Verdict(Effect.FINAL, problems.USER_NOT_FOUND)
    if status == _BAD_REQUEST:
        return Verdict(Effect.FINAL, problems.INVALID_USER)
    return Verdict(Effect.FINAL, problems.GRAPH_REFUSED)


def _forbidden(token: TokenFacts, *, token_has_revoked: bool) -> Problem:
    if not token.may(REVOKE):
        return permission_problems.app_permission_missing(token)
    if not token.is_broad_only or token_has_revoked:
        return problems.TARGET_PRIVILEGED
    return permission_problems.refused_under_broad_permission(token)
