"""Requests as a worker has left them, and whoever accepts them or says something of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine import counted, new_record

from local.simulator.directory import object_id
from revoke_core.adapters.clock import SystemClock
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.user_state import UserRow
from revoke_core.service.engine.backoff import Backoff
from revoke_core.service.engine.context import RunContext
from revoke_core.service.engine.unit_of_work import UnitOfWork
from revoke_core.service.engine.working_set import WorkingSet
from revoke_core.service.intake.admission import Admission
from revoke_core.service.intake.control import Controls
from revoke_core.service.intake.submit import Submission, Submitter

if TYPE_CHECKING:
    from engine import Engine

    from revoke_core.service.engine.sources import SourcePage

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
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(names)))
    given: dict[str, Any] = {"planned": True, "positions": len(rows), "indexed_to": len(rows), "verifying": True} | run
    started = Run(request_id=record.id, owner="first", epoch=1, counts=counted(rows), **given)
    return record, await engine.log.save_run(started, rows)


def context(engine: Engine, record: RequestRecord, run: Run, request: RevocationRequest | None = None) -> RunContext:
    """What a worker that has just acquired the lease works on."""
    unit = UnitOfWork(run=run, log=engine.log, clock=engine.clock)
    return RunContext(
        record=record,
        request=request or RevocationRequest(users=NamedUsers(NAMES[: run.counts.total])),
        unit=unit,
        users=WorkingSet(request_id=run.request_id, log=engine.log, commit=unit.flush),
        backoff=Backoff(unit=unit, gates=engine.gates, clock=engine.clock),
        until=engine.clock.now() + timedelta(minutes=1),
        max_idle=timedelta(seconds=5),
    )


def submission() -> Submission:
    """Twenty users, to be carried out in the call."""
    request = RevocationRequest(users=NamedUsers(NAMES))
    return Submission(request=request, source="http", requested_by=RequestedBy(kind="local"))


def submitter(engine: Engine) -> Submitter:
    return Submitter(
        log=engine.log,
        queue=engine.queue,
        admission=Admission(
            protected=engine.protected, open_requests=engine.open_requests, clock=engine.clock, most_open=1000
        ),
        worker=engine.worker(),
        clock=engine.clock,
    )


def controls(engine: Engine) -> Controls:
    return Controls(
        log=engine.log,
        open_requests=engine.open_requests,
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
