"""Evidence by timer: reads the directory's two logs for ended requests, and stores what they say beside the users."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import permission_problems, problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.evidence import (
    NO_LICENCE,
    EvidenceMarker,
    audit_entries,
    audit_windows,
    entry_of,
    first_sign_in,
    lacks_audit,
    lacks_sign_in,
    needs_evidence,
    sign_ins,
    sign_ins_since,
    was_read,
    with_audit,
    with_sign_in,
)
from revoke_core.domain.responses import Effect, graph_error, judge_listing, next_link

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from revoke_core.domain.evidence import AuditEntry
    from revoke_core.domain.responses import Answer
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.graph import Reports
    from revoke_core.ports.shared import Clock, EvidenceStore, ReportsPace
    from revoke_core.ports.status_log import StatusLog

# Below the timer's interval, so that runs do not pile up; the next run goes on where this one stopped.
_AT_MOST: Final = timedelta(seconds=25)
# So many users are asked for in one question about sign-ins: 100 users are five calls.
_USERS_AT_ONCE: Final = 20
# What a throttled or failed call is answered with where Graph does not say how long to wait.
_PAUSE: Final = timedelta(seconds=30)
_LICENCE_MISSING: Final = (
    "No sign-ins are shown as evidence: this tenant has no Entra ID P1 or P2 licence, without which Microsoft Graph "
    "gives no sign-in log. See the sign-in log in the Entra admin center, or set EVIDENCE to false."
)
_REFUSED: Final = (
    "Evidence is missing: Microsoft Graph refuses to show its audit or sign-in log ({code}). Not every national cloud "
    "has them; look there in the Entra admin center, or set EVIDENCE to false."
)


class _NoTurnError(Exception):
    """No call may leave within this run: the round goes on in a later one."""


class _NotAnsweredError(Exception):
    """Graph gave no usable answer: the round is over, the next one may do better."""


class _RefusedError(Exception):
    """Graph refuses a log."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.of_sign_ins = False
        self.status = answer.status
        self.code = (graph_error(answer) or ("",))[0]


class EvidenceReader:
    """Reads in rounds, one call after the other at the reporting API's own pace; the request that is due longest first.

    A round of a request ends when all its users were read, or a log was refused or not answered; then the marker is
    moved to the next round, or removed. A run that has no time left, and a host that dies, leave the marker as it is:
    the next run goes on with the users who were not read since the round began.
    """

    def __init__(
        self, *, reports: Reports, store: EvidenceStore, log: StatusLog, pace: ReportsPace, clock: Clock
    ) -> None:
        self._reports = reports
        self._store = store
        self._log = log
        self._pace = pace
        self._clock = clock
        # Whether Graph has refused a question about several users; no page says that it takes "or".
        self._one_by_one = False

    async def read_due(self) -> int:
        """Returns how many rounds were ended."""
        began = self._clock.now()
        ended = 0
        for marker in await self._store.due(began):
            try:
                await self._round(marker, began + _AT_MOST)
            except _NoTurnError:
                break
            except (_NotAnsweredError, TokenUnavailable):
                await self._leave(marker)
                break
            except (KeyError, TypeError, ValueError) as problem:
                # A row is damaged, or of a later version of the app: the others get their evidence all the same.
                logs.failure("evidence_unreadable", problem, requestId=marker.request_id)
                await self._leave(marker)
            ended += 1
        return ended

    async def _round(self, marker: EvidenceMarker, until: datetime) -> None:
        """Read what a request's users still lack; a refusal of one log is counted and becomes a warning."""
        if marker.is_over(self._clock.now()):
            await self._store.remove(marker.request_id)
            return
        rows = {row.position: row async for row in self._log.iter_users(marker.request_id)}
        unread = [row for row in rows.values() if needs_evidence(row, marker) and not was_read(row, marker)]
        left, refusal = marker, None
        try:
            unread = await self._read_audits(unread, marker, until)
            left = replace(left, refusals=0)
            rows |= {row.position: row for row in unread}
            rows |= {row.position: row for row in await self._read_sign_ins(unread, marker, until)}
            left = replace(left, sign_in_refusals=0) if marker.asks_for_sign_ins else left
        except _RefusedError as problem:
            refusal = problem
            refused = "sign_in_refusals" if problem.of_sign_ins else "refusals"
            left = replace(left, **{refused: getattr(marker, refused) + 1})
        await self._warn(marker, left, refusal)
        is_complete = not any(needs_evidence(row, left) for row in rows.values())
        logs.event("evidence_read", requestId=marker.request_id, users=len(unread), complete=is_complete)
        await self._leave(marker if is_complete else left, is_complete=is_complete)

    async def _leave(self, marker: EvidenceMarker, *, is_complete: bool = False) -> None:
        following = None if is_complete else marker.after_round(self._clock.now())
        if following is None:
            await self._store.remove(marker.request_id)
        else:
            await self._store.move(following)

    async def _read_audits(self, unread: list[UserRow], marker: EvidenceMarker, until: datetime) -> list[UserRow]:
        """All of the users, with the audit entries that have shown; who needs no sign-in is stored."""
        token = await self._reports.token()
        entries: list[AuditEntry] = []
        for since, end in audit_windows(row for row in unread if lacks_audit(row)):
            async for answer in self._answers(self._reports.cut_off_audits(since, end), until):
                entries += audit_entries(answer)
        now = self._clock.now()
        is_patient = marker.is_patient(now)
        read = [
            with_audit(
                row,
                entry_of(row, entries, principal_id=token.principal_id, is_patient=is_patient)
                if lacks_audit(row)
                else None,
                read_at=now,
            )
            for row in unread
        ]
        await self._store.save(marker.request_id, [row for row in read if not lacks_sign_in(row, marker)])
        return read

    async def _read_sign_ins(self, read: list[UserRow], marker: EvidenceMarker, until: datetime) -> list[UserRow]:
        """The users who lacked a sign-in, as they are stored now; where the log is refused, with their audits alone."""
        waiting = sorted((row for row in read if lacks_sign_in(row, marker)), key=sign_ins_since)
        stored: list[UserRow] = []
        while waiting:
            some = waiting[: 1 if self._one_by_one else _USERS_AT_ONCE]
            found = []
            try:
                pages = self._reports.sign_ins([row.target for row in some], sign_ins_since(some[0]))
                async for answer in self._answers(pages, until):
                    found += sign_ins(answer)
            except _RefusedError as refusal:
                if refusal.status == HTTPStatus.BAD_REQUEST and len(some) > 1:
                    self._one_by_one = True
                    continue
                await self._store.save(marker.request_id, waiting)
                refusal.of_sign_ins = True
                raise
            now = self._clock.now()
            done = [with_sign_in(row, first_sign_in(row, found), read_at=now) for row in some]
            await self._store.save(marker.request_id, done)
            stored += done
            waiting = waiting[len(some) :]
        return stored

    async def _answers(self, pages: AsyncGenerator[Answer], until: datetime) -> AsyncGenerator[Answer]:
        """The pages of one question, each in its turn."""
        has_more = True
        try:
            while has_more:
                if not await self._pace.turn(until):
                    raise _NoTurnError
                answer = await anext(pages)
                await self._check(answer)
                yield answer
                has_more = next_link(answer) is not None
        finally:
            await pages.aclose()

    async def _check(self, answer: Answer) -> None:
        """A 429 here concerns the two logs alone: the gates of lookups and revokes stay open."""
        verdict = judge_listing(answer, unknown=problems.GRAPH_REFUSED)
        if verdict.effect is Effect.ACCEPTED:
            return
        if verdict.effect in (Effect.FINAL, Effect.FORBIDDEN):
            raise _RefusedError(answer)
        await self._pace.close_for(verdict.pause or _PAUSE)
        raise _NoTurnError if answer.status == HTTPStatus.TOO_MANY_REQUESTS else _NotAnsweredError

    async def _warn(self, marker: EvidenceMarker, left: EvidenceMarker, refusal: _RefusedError | None) -> None:
        """A warning stands in the request as long as what it warns of."""
        if refusal is None:
            if (marker.refusals, marker.sign_in_refusals) != (left.refusals, left.sign_in_refusals):
                await self._store.warn(marker.request_id, "")
            return
        logs.event("evidence_refused", requestId=marker.request_id, status=refusal.status, graphCode=refusal.code)
        if refusal.status == HTTPStatus.FORBIDDEN and refusal.code != NO_LICENCE:
            text = permission_problems.evidence_not_readable(await self._reports.token())
        else:
            text = _LICENCE_MISSING if refusal.code == NO_LICENCE else _REFUSED.format(code=refusal.code)
        await self._store.warn(marker.request_id, text)
