"""One Graph call from arrival to answer: faults, throttling, the operation, headers."""

import math
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

from local.simulator.clock import Clock
from local.simulator.directory import Directory
from local.simulator.errors import GraphError, error_body
from local.simulator.exchange import Answer, Call, Mishap, is_success
from local.simulator.faults import Faults
from local.simulator.operations import Operations
from local.simulator.quota import Gatekeeper, ResourceUnits, SlidingWindow, WriteQuota
from local.simulator.routes import resolve
from local.simulator.settings import Settings

_COSTS: Final = {"users": 2, "members": 3, "transitiveMembers": 5, "user": 1, "revoke": 1}
_SHORT_PAGE: Final = 20
_TOLD_FROM: Final = 0.8
_THROTTLED: Final = 429
_UNAUTHORIZED: Final = 401


@dataclass(slots=True, kw_only=True)
class Gateway:
    """Serves single calls and items of a batch alike."""

    settings: Settings
    clock: Clock
    directory: Directory
    operations: Operations
    faults: Faults
    gatekeeper: Gatekeeper
    writes: WriteQuota
    units: ResourceUnits
    reports: SlidingWindow
    counts: dict[str, int] = field(default_factory=dict)
    throttled: dict[str, float] = field(default_factory=dict)

    def answer(self, call: Call) -> Answer:
        """The answer to a call, errors included, with what befalls its connection."""
        try:
            call.route = resolve(call, dollar_upn=self.settings.dollar_upn)
        except GraphError as refusal:
            return self._refused(call, refusal)
        self.counts[call.route.template] = self.counts.get(call.route.template, 0) + 1
        user = self.directory.find(call.route.key) if call.route.key else None
        action = self.faults.action_for(
            scope="item" if call.via == "batch" else "single",
            method=call.method,
            path=call.target.partition("?")[0],
            text=call.params.get("$filter", ""),
            user_id=user.id if user else call.route.key.lower(),
        )
        if action is None:
            return self._served(call)
        return self._struck(call, action)

    def _struck(self, call: Call, action: dict[str, Any]) -> Answer:
        mishap = mishap_of(action)
        replaces = {"status", "raw", "redirect"} & set(action)
        if action.get("drop") == "before":
            return Answer(status=0, mishap=mishap)
        if replaces:
            moved = action.get("done") and self._has_moved(call)
            answer = self._scripted(call, action)
            if call.route and call.route.name == "revoke":
                self.operations.note(call, call.route.key, answer.status, effective=bool(moved))
            self.note_sent_away(call.kind, answer)
        else:
            answer = self._served(call)
        answer.mishap = mishap
        return answer

    def _has_moved(self, call: Call) -> bool:
        """Do the work of a call that is answered otherwise; whether it was a revoke that took effect."""
        served = self.operations.served
        known = len(served)
        self._served(call)
        moved = any(entry.effective for entry in served[known:])
        # One call, one entry: the caller writes the one with the status that was answered.
        del served[known:]
        return moved

    def note_sent_away(self, kind: str, answer: Answer) -> None:
        """Remember a scripted 429, so that who comes back early is booked."""
        pause = _seconds(answer.headers.get("Retry-After")) if answer.status == _THROTTLED else None
        if pause is not None:
            self.gatekeeper.sent_away(kind, pause)

    def note_refused_token(self, call: Call, refusal: GraphError) -> None:
        """A revoke that was refused for its token was answered, too."""
        if refusal.status == _UNAUTHORIZED and call.method == "POST":
            try:
                route = resolve(call, dollar_upn=self.settings.dollar_upn)
            except GraphError:
                return
            if route.name == "revoke":
                self.operations.note(call, route.key, refusal.status, effective=False)

    def _scripted(self, call: Call, action: dict[str, Any]) -> Answer:
        if "redirect" in action:
            return Answer(status=302, headers={"Location": str(action["redirect"])})
        status = int(action.get("status", 200))
        body = action.get("raw", action.get("body"))
        if body is None and not is_success(status):
            refusal = GraphError(status=status, code=_code(status), message=_code(status))
            body = self._body(call, refusal)
        headers = {str(name): str(value) for name, value in (action.get("headers") or {}).items()}
        return Answer(status=status, headers=headers, body=body.encode() if isinstance(body, str) else body)

    def _served(self, call: Call) -> Answer:
        if (wait := self._throttle(call)) is not None:
            return self._sent_away(call, wait)
        try:
            answer = self.operations.perform(call)
        except GraphError as refusal:
            if call.route and call.route.name == "revoke":
                self.operations.note(call, call.route.key, refusal.status, effective=False)
            return self._refused(call, refusal)
        cost = max(1, self._cost(call))
        answer.headers["x-ms-resource-unit"] = str(cost)
        if self.writes.used > _TOLD_FROM and call.kind == "write":
            answer.headers["x-ms-throttle-limit-percentage"] = f"{self.writes.used:.2f}"
        return answer

    def _throttle(self, call: Call) -> float | None:
        """Real seconds to wait, or `None` when the call is admitted."""
        now = self.clock.real_seconds()
        until = max(self.throttled.get(call.kind, 0.0), self.throttled.get("all", 0.0))
        if self.settings.throttle_writes_until and call.kind == "write":
            until = max(until, now + self.settings.throttle_writes_until - self.clock.now())
        if until > now:
            return until - now
        # The two logs are limited by themselves, and cost no units.
        wait = self.reports.take() if call.kind == "reports" else self.units.take(self._cost(call))
        if wait is not None:
            return wait / self.clock.scale
        # Field reports have it that a refused call costs nothing, so what will be refused is not counted.
        if call.kind == "write" and self.operations.allows(call) and (wait := self.writes.take()) is not None:
            return wait / self.clock.scale
        return None

    def _sent_away(self, call: Call, wait: float) -> Answer:
        grant = call.grant
        scope = f"Tenant_Application/{'Write' if call.kind == 'write' else 'Read'}"
        scope += f"/{grant.app_id}/{grant.tenant_id}" if grant else ""
        refusal = GraphError(
            status=_THROTTLED,
            code="TooManyRequests",
            message="Please retry again later.",
            headers={
                **self._retry_after(wait),
                "x-ms-throttle-scope": scope,
                "x-ms-throttle-information": "WriteLimitExceeded"
                if call.kind == "write"
                else "ResourceUnitLimitExceeded",
            },
        )
        if call.route and call.route.name == "revoke":
            self.operations.note(call, call.route.key, _THROTTLED, effective=False)
        if self.settings.retry_after_style != "absent":
            self.gatekeeper.sent_away(call.kind, wait)
        return self._refused(call, refusal)

    def _retry_after(self, wait: float) -> dict[str, str]:
        match self.settings.retry_after_style:
            case "absent":
                return {}
            case "fractional":
                return {"Retry-After": f"{wait:.3f}"}
            case "date":
                return {"Retry-After": formatdate(math.ceil(self.clock.now() + wait), usegmt=True)}
            case _:
                return {"Retry-After": str(max(1, math.ceil(wait)))}

    def _refused(self, call: Call, refusal: GraphError) -> Answer:
        return Answer(status=refusal.status, headers=dict(refusal.headers), body=self._body(call, refusal))

    def _body(self, call: Call, refusal: GraphError) -> dict[str, Any]:
        return error_body(
            code=refusal.code,
            message=refusal.message,
            at=self.clock.now(),
            request_id=call.request_id,
            client_request_id=call.client_request_id,
        )

    @staticmethod
    def _cost(call: Call) -> int:
        cost = _COSTS.get(call.route.name, 1) if call.route else 1
        top = call.params.get("$top", "")
        is_short = top.isdigit() and int(top) < _SHORT_PAGE
        return max(1, cost - ("$select" in call.params) - is_short)


def mishap_of(action: dict[str, Any]) -> Mishap:
    """What a fault does to the connection."""
    return Mishap(
        delay=float(action.get("delayMs", 0)) / 1000,
        hang=float(action.get("hang", 0)),
        drop=action.get("drop") in ("before", "after"),
        truncate=bool(action.get("truncate")),
    )


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _code(status: int) -> str:
    codes = {429: "TooManyRequests", 503: "serviceNotAvailable", 403: "Authorization_RequestDenied"}
    return codes.get(status, "UnknownError")
