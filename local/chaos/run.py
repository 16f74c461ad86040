"""One run: a request for its own users, the planned faults, and the wait for the final status."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientError

from local.chaos.ground_truth import GroundTruth, not_processed
from local.chaos.redelivery import Redelivery
from local.testbed import exchanges
from local.testbed.early_calls import EarlyCalls
from local.testbed.interceptor import Rule

if TYPE_CHECKING:
    from local.chaos.checks import Findings
    from local.chaos.points import FaultPoint, PlannedFault
    from local.testbed.environment import Environment
    from local.testbed.proxy import Exchange

RECOVERY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 10.0
_UNDISTURBED_SECONDS: Final = 300.0
_FIRE_SECONDS: Final = 90.0
_AGAIN_SECONDS: Final = 0.3
_PAUSE_ASKED: Final = 15
_BATCH: Final = 20
_EARLY_AFTER_KILL: Final = 20
# A cut-off that shows is found by the next read that is planned, or by the next scan of the table.
_NEXT_READ: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user of the tenant."""

    id: str
    upn: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run does; the same plan gives the same faults. The tenant's cut-off shows ``lag`` seconds late."""

    point: FaultPoint
    seed: int
    people: tuple[Person, ...]
    protected: Person
    faults: tuple[PlannedFault, ...]
    lag: float = 0

    @property
    def reason(self) -> str:
        """Names the run in the status log."""
        return f"chaos {self.point.name} {self.seed}" + (f" lag {self.lag:g}" if self.lag else "")

    @property
    def patience(self) -> float:
        """Seconds that the lag may add to a run: a call is read for so long, perhaps made again, and then proven."""
        return 2 * self.lag + _NEXT_READ if self.lag else 0.0


@dataclass(kw_only=True)
class Outcome:
    """How it went. ``recovery`` is from the new host's start to the final status, without the tenant's pauses."""

    plan: Plan
    truth: GroundTruth
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
        """Whether every promise was kept and every planned fault took place."""
        return not self.faults


class Run:
    """Carries out one plan in a test environment."""

    def __init__(self, *, environment: Environment, plan: Plan) -> None:
        self._environment = environment
        self._plan = plan
        self._early = EarlyCalls()
        self._work = 0
        self._poisoned = 0
        asked = frozenset(person.id for person in plan.people)
        truth = GroundTruth(
            environment=environment, reason=plan.reason, asked=asked, protected=frozenset({plan.protected.id})
        )
        self._outcome = Outcome(plan=plan, truth=truth)
        self._recovering_since: float | None = None

    async def execute(self) -> Outcome:
        """The checked outcome; the host runs again afterwards."""
        interceptor = self._environment.host.interceptor
        interceptor.rules.clear()
        interceptor.on_request[:] = [self._early.on_request]
        interceptor.on_response[:] = [self._early.on_response, self._count]
        await self._prepare_tenant()
        async with Redelivery(self._environment) as redelivery:
            interceptor.on_response.append(redelivery.record)
            submitting = asyncio.create_task(self._submit(redelivery))
            try:
                for fault in self._plan.faults:
                    await self._inject(fault, redelivery)
                await submitting
                await self._wait_final()
            finally:
                submitting.cancel()
                await asyncio.gather(submitting, return_exceptions=True)
                interceptor.rules.clear()
        await self._check(redelivery)
        return self._outcome

    async def _prepare_tenant(self) -> None:
        await self._environment.sim("reset", {})
        await self._environment.sim("config", {"lagSeconds": self._plan.lag})
        if self._plan.point.throttled:
            # About the middle, and one whole batch: two half ones would ask for two pauses.
            before = max(_BATCH, len(self._plan.people) // 2 // _BATCH * _BATCH)
            action = {"status": 429, "headers": {"Retry-After": str(_PAUSE_ASKED)}}
            match = {"scope": "item", "path": "revokeSignInSessions"}
            await self._environment.sim("faults", {"match": match, "after": before, "times": _BATCH, "action": action})

    def _count(self, exchange: Exchange) -> None:
        self._work += exchanges.is_work(exchange)
        self._poisoned += exchanges.is_poison_message(exchange)

    async def _submit(self, redelivery: Redelivery) -> None:
        """Submit as every caller should: the same key again until there is an answer."""
        content: dict[str, Any] = {"users": _named(self._plan), "reason": self._plan.reason}
        if self._plan.point.kind == "double":
            await redelivery.send(content | {"idempotencyKey": self._plan.reason})
            return
        while True:
            try:
                status, answer = await self._environment.api(
                    "POST", "revocations", content, Idempotency_Key=self._plan.reason
                )
            except (ClientError, ConnectionError, TimeoutError, ValueError):
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if status not in (200, 202):
                self._outcome.faults.append(f"the request was answered {status}: {answer}")
            return

    async def _inject(self, fault: PlannedFault, redelivery: Redelivery) -> None:
        host, kind = self._environment.host, self._plan.point.kind
        actions = {"kill": host.kill, "stop": lambda: None, "double": redelivery.redeliver}
        rule = Rule(
            name=self._plan.point.name,
            matches=fault.matches,
            nth=fault.nth,
            phase=fault.phase,
            action=actions[kind],
            abort=kind == "kill",
        )
        host.interceptor.rules.append(rule)
        if not await self._wait_fired(rule):
            self._outcome.faults.append(f"the planned fault never took place (exchange {fault.nth}, {fault.phase})")
            return
        self._outcome.fired += 1
        if kind == "kill":
            self._outcome.kills += 1
            await host.wait_killed()
        elif kind == "stop":
            # Once the drain is over the platform ends what still runs, like a kill.
            self._outcome.kills += 1
            await self._stop_host()
        if kind in ("kill", "stop"):
            self._recovering_since = time.monotonic()
            await host.start()

    async def _wait_fired(self, rule: Rule) -> bool:
        """Wait until the rule has fired; once the request has ended it cannot fire any more."""
        waiting = asyncio.create_task(rule.fired.wait())
        allowed = _FIRE_SECONDS + self._plan.patience + (RECOVERY_SECONDS if self._outcome.kills else 0)
        ended = asyncio.create_task(self._outcome.truth.wait_final(allowed))
        await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, ended):
            task.cancel()
        await asyncio.gather(waiting, ended, return_exceptions=True)
        return rule.fired.is_set()

    async def _stop_host(self) -> None:
        begun = time.monotonic()
        code = await self._environment.host.stop()
        self._outcome.stop_seconds = time.monotonic() - begun
        if code != 0 or self._outcome.stop_seconds > STOP_SECONDS:
            self._outcome.faults.append(f"the stop took {self._outcome.stop_seconds:.1f} s and ended with code {code}")

    async def _wait_final(self) -> None:
        """Wait for the final status: 120 s after the last restart, the tenant's own pauses and its lag apart."""
        outcome = self._outcome
        since = self._recovering_since
        longest = RECOVERY_SECONDS + self._plan.patience
        allowed = _UNDISTURBED_SECONDS if since is None else longest + _PAUSE_ASKED
        ended = await outcome.truth.wait_final(allowed)
        if since is not None:
            outcome.imposed = await self._imposed(since)
            outcome.recovery = max(0.0, time.monotonic() - since - outcome.imposed)
            if ended and outcome.recovery > longest:
                outcome.faults.append(f"recovery took {outcome.recovery:.0f} s")
        if not ended:
            outcome.faults.append(f"no final status after {allowed:.0f} s")

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

    async def _check(self, redelivery: Redelivery) -> None:
        outcome = self._outcome
        outcome.work = self._work
        outcome.findings = await outcome.truth.check(kills=outcome.kills, lag=outcome.plan.lag)
        outcome.faults += outcome.findings.faults
        for request in await outcome.truth.requests():
            status, resource = await self._environment.api("GET", f"revocations/{request['RowKey']}")
            if status != HTTPStatus.OK or resource["status"] != request["Status"]:
                outcome.faults.append(f"a caller gets {status} {resource.get('status')}, not {request['Status']}")
        if given_up := self._poisoned + await not_processed(self._environment):
            outcome.faults.append(f"{given_up} valid messages went to a poison queue")
        allowed = _EARLY_AFTER_KILL * outcome.kills
        if self._early.calls > allowed:
            outcome.faults.append(f"{self._early.calls} calls left before a Retry-After had passed")
        if self._plan.point.kind == "double" and not (redelivery.copies and redelivery.redelivered):
            outcome.faults.append("no message was delivered again")


def _named(plan: Plan) -> list[str]:
    """Every other user by UPN, one of them twice, and the protected user."""
    names = [person.upn if index % 2 else person.id for index, person in enumerate(plan.people)]
    return [*names, plan.people[0].upn, plan.protected.upn]
