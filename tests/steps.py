"""Requests as a worker has left them, and whoever accepts them or says something of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine import counted, new_record

from local.simulator.directory import object_id
from revoke_core.adapters.clock import SystemClock
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.results import RequestedBy, RequestRecord, RequestStatus, UserRow
from revoke_core.domain.run import Run
from revoke_core.service.control import Controls
from revoke_core.service.submitting import Submission, Submitter

if TYPE_CHECKING:
    from engine import Engine

    from revoke_core.service.sources import SourcePage

NAMES = [f"team{number:02d}@contoso.com" for number in range(1, 21)]


class JumpingClock(SystemClock):
    """The system's, until time jumps: a host that stood still, or one whose clock is wrong."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        """Ahead of the system's after the jump."""
        return super().now() + self.ahead

    def jump(self, **span: float) -> None:
        """So much time goes by at once."""
        self.ahead += timedelta(**span)


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def person(position: int, **more: Any) -> UserRow:
    name = NAMES[position - 1]
    return UserRow(position=position, given=name, user_id=object_id(name), user_principal_name=name, **more)


async def begun(
    engine: Engine, rows: list[UserRow], *, age: timedelta = timedelta(0), **run: Any
) -> tuple[RequestRecord, Run]:
    """A planned request as a worker has left it, its lease over."""
    names = [row.given for row in rows]
    record = new_record(datetime.now(UTC) - age, status=RequestStatus.RUNNING, counts=counted(rows))
    await engine.log.create(record, RevocationRequest(users=NamedUsers(names)))
    given: dict[str, Any] = {"planned": True, "positions": len(rows), "indexed_to": len(rows), "proving": True} | run
    started = Run(request_id=record.id, owner="first", epoch=1, counts=counted(rows), **given)
    return record, await engine.log.save(started, rows)


def submission() -> Submission:
    """Twenty users, to be carried out in the call."""
    request = RevocationRequest(users=NamedUsers(NAMES))
    return Submission(request=request, source="http", requested_by=RequestedBy(kind="local"))


def submitter(engine: Engine) -> Submitter:
    return Submitter(
        log=engine.log,
        ledger=engine.ledger,
        queue=engine.queue,
        planner=engine.planner,
        worker=engine.worker(),
        budget=engine.budget,
        clock=engine.clock,
    )


def controls(engine: Engine) -> Controls:
    return Controls(
        log=engine.log,
        queue=engine.queue,
        submitter=submitter(engine),
        clock=engine.clock,
        max_unconfirmed=engine.limits.max_unconfirmed,
    )


def cancelled_while_planned(engine: Engine, record: RequestRecord) -> None:
    """Somebody cancels whenever a page is read."""
    page = engine.sources.page

    async def cancelled(*which: Any, most: int) -> SourcePage:
        await controls(engine).cancel(record)
        return await page(*which, most=most)

    engine.sources.page = cancelled  # type: ignore[method-assign] -- the real one, and somebody who cancels meanwhile
