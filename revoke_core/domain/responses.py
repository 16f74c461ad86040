"""Graph's answers judged: what one answer means for one user or one list. All code that reads a status does it here.

Only Graph's own error body (JSON with ``error.code``) makes an answer final. A gateway, a proxy or a firewall may
answer in Graph's place with any status: that says nothing about a user, so a read is made again, and a revoke is
ambiguous.

A 403 is read by the roles of the token, never by its message: Microsoft uses two texts for two causes without saying
which is which (https://learn.microsoft.com/graph/errors advises against branching on messages). The user it concerns
fails for good, and that is all of:

- a token without a permission that revokes: ``appPermissionMissing``, and no further user of the request is sent;
- one with ``User.RevokeSessions.All``, or one that has revoked somebody else: ``targetPrivileged``, this user alone;
- one with a broader permission that has revoked nobody yet: ``appPermissionMissing`` with both explanations; the others
  are sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import permission_problems, problems
from revoke_core.domain.permissions import REVOKE, TokenFacts
from revoke_core.domain.timestamps import parsed_or_none

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from revoke_core.domain.problems import Problem


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

    @property
    def is_forbidden(self) -> bool:
        """Graph's own 403: which permission or right is missing, the token's roles tell."""
        return self.status == HTTPStatus.FORBIDDEN and graph_error(self) is not None


class Ambiguity(StrEnum):
    """Why it is unknown whether Graph carried a revoke call out."""

    LOST = "lost"
    CRASH = "crash"
    ERROR = "error"
    UNAVAILABLE = "unavailable"


class Effect(StrEnum):
    """What an answer means for the user next."""

    ACCEPTED = "accepted"
    FINAL = "final"
    FORBIDDEN = "forbidden"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An effect with its reason.

    ``pause`` is the wait Graph asked for, if it did; ``ambiguity`` goes with ``AMBIGUOUS``.
    """

    effect: Effect
    problem: Problem | None = None
    pause: timedelta | None = None
    ambiguity: Ambiguity | None = None

    def as_graph_says(self, answer: Answer) -> Verdict:
        """The same with Graph's own error code, where the answer is to be waited out and has one."""
        error = graph_error(answer)
        is_passing = self.effect in (Effect.RETRY, Effect.AMBIGUOUS)
        if self.problem is None or not is_passing or error is None or not _CODE.fullmatch(error[0]):
            return self
        return replace(self, problem=replace(self.problem, graph_code=error[0]))


# Stored and shown as it stands, so nothing but a code may pass.
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# Graph's own words that it did not act: a condition failed, the resource is locked, another call had to come first.
_NOT_CARRIED_OUT: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.LOCKED, HTTPStatus.FAILED_DEPENDENCY})
# A call that ran out of time or into another one, and every server error, may have been carried out all the same.
_MAYBE_CARRIED_OUT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT})
_ADVANCED_NEEDED: Final = "Request_UnsupportedQuery"
# Answers about a page of a list that stood in the way of no earlier page: the link itself is dead.
_DEAD_LINK: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def judge_revoke(answer: Answer, token: TokenFacts, *, token_has_revoked: bool) -> Verdict:
    """The verdict on a revoke call.

    ``token_has_revoked`` says whether this very token has revoked a user, which proves its permission.
    Whatever does not prove that Graph did not act is ambiguous: a lost answer, any server error, 408, 409, and an
    answer that is not Graph's own. Graph and every gateway send 401 and 429 before any work.
    """
    return _revoke(answer, token, token_has_revoked=token_has_revoked).as_graph_says(answer)


def _revoke(answer: Answer, token: TokenFacts, *, token_has_revoked: bool) -> Verdict:
    if answer.delivery is Delivery.LOST:
        return Verdict(Effect.AMBIGUOUS, problems.GRAPH_UNAVAILABLE, ambiguity=Ambiguity.LOST)
    if answer.is_success:
        return Verdict(Effect.ACCEPTED)
    if answer.delivery is Delivery.ANSWERED and not _comes_before_work(answer.status):
        is_graphs = graph_error(answer) is not None
        if not is_graphs or answer.status in _MAYBE_CARRIED_OUT or not 400 <= answer.status < 500:  # noqa: PLR2004 -- HTTP's own range
            is_refused = is_graphs and answer.status == HTTPStatus.SERVICE_UNAVAILABLE
            ambiguity = Ambiguity.UNAVAILABLE if is_refused else Ambiguity.ERROR
            return Verdict(Effect.AMBIGUOUS, problems.GRAPH_UNAVAILABLE, answer.retry_after, ambiguity)
    if answer.is_forbidden:
        return Verdict(Effect.FORBIDDEN, _forbidden(token, token_has_revoked=token_has_revoked))
    return _common(answer)


def judge_read(answer: Answer) -> Verdict:
    """The verdict on reading a user; a 403 leaves open whether the app may read no user or only not this one."""
    if answer.is_success:
        if isinstance(answer.body, dict) and isinstance(answer.body.get("id"), str):
            return Verdict(Effect.ACCEPTED)
        return Verdict(Effect.RETRY, problems.GRAPH_UNAVAILABLE)
    return Verdict(Effect.FORBIDDEN) if answer.is_forbidden else _common(answer).as_graph_says(answer)


def judge_listing(answer: Answer, *, unknown: Problem) -> Verdict:
    """The verdict on a page of a list; ``unknown`` is what a 404 means here.

    ``FINAL`` without a problem means that Graph refuses the question itself.
    """
    if answer.is_success:
        if isinstance(answer.body, dict) and isinstance(answer.body.get("value"), list):
            return Verdict(Effect.ACCEPTED)
        return Verdict(Effect.RETRY, problems.GRAPH_UNAVAILABLE)
    if answer.is_forbidden:
        return Verdict(Effect.FORBIDDEN)
    verdict = _common(answer)
    if verdict.effect is Effect.FINAL and answer.status == HTTPStatus.NOT_FOUND:
        return Verdict(Effect.FINAL, unknown)
    return Verdict(Effect.FINAL) if verdict.problem is problems.INVALID_USER else verdict.as_graph_says(answer)


def is_dead_link(answer: Answer) -> bool:
    """Whether Graph itself says that the page a link leads to is not there (any more): its token has expired."""
    return answer.status in _DEAD_LINK and graph_error(answer) is not None


def needs_advanced_query(answer: Answer) -> bool:
    """Whether Graph takes a filter only with the headers of an advanced query, if at all."""
    error = graph_error(answer)
    return answer.status == HTTPStatus.BAD_REQUEST and error is not None and error[0] == _ADVANCED_NEEDED


def is_own_matter(answer: Answer) -> bool:
    """Whether a call that has to be made again failed over its own user, as far as one answer can tell.

    A missing token, a throttled app and a Graph that was not reached concern every user.
    """
    return answer.delivery in (Delivery.ANSWERED, Delivery.LOST) and not _comes_before_work(answer.status)


def cut_off_of(answer: Answer) -> datetime | None:
    """The sign-in cut-off in the answer of a read, ``None`` when there is none or it cannot be read."""
    value = (answer.body or {}).get("signInSessionsValidFromDateTime")
    return parsed_or_none(value) if isinstance(value, str) else None


def asked_pause(answer: Answer) -> timedelta | None:
    """The wait that Graph asks for, unless the answer is final: the ``pause`` of any verdict on it."""
    return None if answer.is_success else _common(answer).pause


def next_link(answer: Answer) -> str | None:
    """The link to the next page of a list, if there is one; "" when it is damaged, which no page answers to."""
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
    if status == HTTPStatus.UNAUTHORIZED:
        return Verdict(Effect.RETRY, problems.NO_TOKEN)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict(Effect.RETRY, problems.THROTTLED, answer.retry_after)
    is_refusal = answer.delivery is Delivery.ANSWERED and 400 <= status < 500 and graph_error(answer) is not None  # noqa: PLR2004 -- HTTP's own range
    if not is_refusal or status in _NOT_CARRIED_OUT | _MAYBE_CARRIED_OUT:
        return Verdict(Effect.RETRY, problems.GRAPH_UNAVAILABLE, answer.retry_after)
    if status == HTTPStatus.NOT_FOUND:
        return Verdict(Effect.FINAL, problems.USER_NOT_FOUND)
    if status == HTTPStatus.BAD_REQUEST:
        return Verdict(Effect.FINAL, problems.INVALID_USER)
    return Verdict(Effect.FINAL, problems.GRAPH_REFUSED)


def _comes_before_work(status: int) -> bool:
    return status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)


def _forbidden(token: TokenFacts, *, token_has_revoked: bool) -> Problem:
    if not token.may(REVOKE):
        return permission_problems.app_permission_missing(token)
    if not token.is_broad_only or token_has_revoked:
        return problems.TARGET_PRIVILEGED
    return permission_problems.refused_under_broad_permission(token)
