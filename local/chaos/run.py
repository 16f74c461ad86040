"""One run: a request of its own users, the planned strikes, and the wait for the last word."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientError

from local.chaos.messages import Doubler
from local.chaos.truth import Truth, not_processed
from local.rig import wire
from local.rig.early import EarlyCalls
from local.rig.rules import Rule

if TYPE_CHECKING:
    from local.chaos.history import Findings
    from local.chaos.points import Point, Strike
    from local.rig.proxy import Exchange
    from local.rig.stage import Stage

RECOVERY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 35.0
_UNDISTURBED_SECONDS: Final = 300.0
_FIRE_SECONDS: Final = 90.0
_AGAIN_SECONDS: Final = 0.3
_PAUSE_ASKED: Final = 15
_BATCH: Final = 20
_EARLY_AFTER_KILL: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user of the tenant."""

    id: str
    upn: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run does; the same plan gives the same strikes."""

    point: Point
    seed: int
    people: tuple[Person, ...]
    protected: Person
    strikes: tuple[Strike, ...]

    @property
    def reason(self) -> str:
        """Names the run in the status log."""
        return f"chaos {self.point.name} {self.seed}"


@dataclass(kw_only=True)
class Outcome:
    """How it went. ``recovery`` is from the start of the new host to the last word, without the tenant's own pauses."""

    plan: Plan
    truth: Truth
    fired: int = 0
    kills: int = 0
    work: int = 0
    recovery: float | None = None
    imposed: float = 0.0
    stop_seconds: float | None = None
    findings: Findings | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept and every planned fault struck."""
        return not self.faults


class Run:
    """Carries one plan out on a stage."""

    def __init__(self, *, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._plan = plan
        self._early = EarlyCalls()
        self._work = 0
        self._poisoned = 0
        asked = frozenset(person.id for person in plan.people)
        truth = Truth(stage=stage, reason=plan.reason, asked=asked, protected=frozenset({plan.protected.id}))
        self._outcome = Outcome(plan=plan, truth=truth)
        self._recovering_since: float | None = None

    async def carried_out(self) -> Outcome:
        """The judged outcome; the host runs again afterwards."""
        watch = self._stage.seat.watch
        watch.rules.clear()
        watch.heralds[:] = [self._early.arrived]
        watch.onlookers[:] = [self._early.answered, self._seen]
        await self._prepare_tenant()
        async with Doubler(self._stage) as doubler:
            watch.onlookers.append(doubler.work)
            submitting = asyncio.create_task(self._submitted(doubler))
            try:
                for strike in self._plan.strikes:
                    await self._struck(strike, doubler)
                await submitting
                await self._awaited()
            finally:
                submitting.cancel()
                await asyncio.gather(submitting, return_exceptions=True)
                watch.rules.clear()
        await self._judge(doubler)
        return self._outcome

    async def _prepare_tenant(self) -> None:
        await self._stage.sim("reset", {})
        if self._plan.point.throttled:
            # About the middle, and one whole batch: two half ones would ask for two pauses.
            before = max(_BATCH, len(self._plan.people) // 2 // _BATCH * _BATCH)
            action = {"status": 429, "headers": {"Retry-After": str(_PAUSE_ASKED)}}
            match = {"scope": "item", "path": "revokeSignInSessions"}
            await self._stage.sim("faults", {"match": match, "after": before, "times": _BATCH, "action": action})

    def _seen(self, exchange: Exchange) -> None:
        self._work += wire.is_work(exchange)
        self._poisoned += wire.poisons(exchange)

    async def _submitted(self, doubler: Doubler) -> None:
        """Submit as every caller should: the same key again until there is an answer."""
        content: dict[str, Any] = {"users": _named(self._plan), "reason": self._plan.reason}
        if self._plan.point.deed == "double":
            await doubler.knock(content | {"idempotencyKey": self._plan.reason})
            return
        while True:
            try:
                status, answer = await self._stage.api(
                    "POST", "revocations", content, Idempotency_Key=self._plan.reason
                )
            except (ClientError, ConnectionError, TimeoutError, ValueError):
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if status not in (200, 202):
                self._outcome.faults.append(f"the request was answered {status}: {answer}")
            return

    async def _struck(self, strike: Strike, doubler: Doubler) -> None:
        seat, deed = self._stage.seat, self._plan.point.deed
        acts = {"kill": seat.kill, "stop": lambda: None, "double": doubler.again}
        rule = Rule(
            name=self._plan.point.name,
            matches=strike.matches,
            nth=strike.nth,
            when=strike.when,
            act=acts[deed],
            cut=deed == "kill",
        )
        seat.watch.rules.append(rule)
        if not await self._fired(rule):
            self._outcome.faults.append(f"the planned fault never struck (exchange {strike.nth}, {strike.when})")
            return
        self._outcome.fired += 1
        if deed == "kill":
            self._outcome.kills += 1
            await seat.gone()
        elif deed == "stop":
            await self._stopped()
        if deed in ("kill", "stop"):
            self._recovering_since = time.monotonic()
            await seat.start()

    async def _fired(self, rule: Rule) -> bool:
        """Wait for the strike; a request that has ended will not give cause for one any more."""
        waiting = asyncio.create_task(rule.fired.wait())
        allowed = _FIRE_SECONDS + (RECOVERY_SECONDS if self._outcome.kills else 0)
        ended = asyncio.create_task(self._outcome.truth.final(allowed))
        await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, ended):
            task.cancel()
        await asyncio.gather(waiting, ended, return_exceptions=True)
        return rule.fired.is_set()

    async def _stopped(self) -> None:
        begun = time.monotonic()
        code = await self._stage.seat.stop()
        self._outcome.stop_seconds = time.monotonic() - begun
        if code != 0 or self._outcome.stop_seconds > STOP_SECONDS:
            self._outcome.faults.append(f"the stop took {self._outcome.stop_seconds:.1f} s and ended with code {code}")

    async def _awaited(self) -> None:
        """Wait for the last word: 120 s after the last restart, the tenant's own pauses apart."""
        outcome = self._outcome
        since = self._recovering_since
        allowed = _UNDISTURBED_SECONDS if since is None else RECOVERY_SECONDS + _PAUSE_ASKED
        ended = await outcome.truth.final(allowed)
        if since is not None:
            outcome.imposed = await self._imposed(since)
            outcome.recovery = max(0.0, time.monotonic() - since - outcome.imposed)
            if ended and outcome.recovery > RECOVERY_SECONDS:
                outcome.faults.append(f"recovery took {outcome.recovery:.0f} s")
        if not ended:
            outcome.faults.append(f"no last word after {allowed:.0f} s")

    async def _imposed(self, since: float) -> float:
        """Seconds of a ``Retry-After`` that were still to wait when the new host was started."""
        if not self._plan.point.throttled:
            return 0.0
        moments = sorted(
            datetime.fromisoformat(entry["at"]).timestamp()
            for entry in await self._outcome.truth.served()
            if entry["status"] == HTTPStatus.TOO_MANY_REQUESTS
        )
        waited, until = 0.0, time.time() - (time.monotonic() - since)
        for moment in moments:
            end = moment + _PAUSE_ASKED
            waited += max(0.0, end - max(until, moment))
            until = max(until, end)
        return waited

    async def _judge(self, doubler: Doubler) -> None:
        outcome = self._outcome
        outcome.work = self._work
        outcome.findings = await outcome.truth.judge(kills=outcome.kills)
        outcome.faults += outcome.findings.faults
        for request in await outcome.truth.requests():
            status, resource = await self._stage.api("GET", f"revocations/{request['RowKey']}")
            if status != HTTPStatus.OK or resource["status"] != request["Status"]:
                outcome.faults.append(f"a caller is told {status} {resource.get('status')}, not {request['Status']}")
        if given_up := self._poisoned + await not_processed(self._stage):
            outcome.faults.append(f"{given_up} innocent messages were given up")
        allowed = _EARLY_AFTER_KILL * outcome.kills
        if self._early.calls > allowed:
            outcome.faults.append(f"{self._early.calls} calls left before a Retry-After had passed")
        if self._plan.point.deed == "double" and not (doubler.copies and doubler.redelivered):
            outcome.faults.append("no message was delivered again")


def _named(plan: Plan) -> list[str]:
    """Every other user by UPN, one of them twice, and somebody who must never be touched."""
    names = [person.upn if place % 2 else person.id for place, person in enumerate(plan.people)]
    return [*names, plan.people[0].upn, plan.protected.upn]
