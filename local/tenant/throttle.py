"""Decides whether a call is let through, and words the 429 if it is not."""

import math
import time
from email.utils import formatdate
from http import HTTPStatus

from local.tenant.clock import Clock
from local.tenant.errors import GraphError
from local.tenant.exchange import Call, Kind
from local.tenant.quota import rate_quota, write_quota
from local.tenant.settings import Settings

REPORT_PERCENTAGE_ABOVE = 0.8
PERCENTAGE_CAP = 1.8
SMALL_PAGE = 20
_UNITS = {"users": 2, "members": 3, "transitiveMembers": 5}


def resource_units(call: Call) -> int:
    """What a call costs in resource units: by route, less for `$select` and small pages, at least 1."""
    units = _UNITS.get(call.route.name if call.route else "", 1)
    if units > 1:
        top = call.params.get("$top", "")
        units -= "$select" in call.params
        units -= top.isascii() and top.isdigit() and int(top) < SMALL_PAGE
        units += "$expand" in call.params
    return max(1, units)


class Throttle:
    """The write quota, the resource units, the reports limit, and a throttle of the whole tenant set by hand."""

    def __init__(self, *, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._closed: dict[Kind, float] = {"read": 0.0, "write": 0.0}
        self.refill()

    def refill(self) -> None:
        """Begin every quota anew."""
        self._writes = write_quota(self._settings.quota, clock=self._clock)
        units = 0 if self._settings.quota.model == "none" else self._settings.resource_units_per10s
        self._units = rate_quota(units, clock=self._clock)
        self._reports = rate_quota(self._settings.reports_per10s, clock=self._clock)

    def close(self, *, seconds: float, kinds: tuple[Kind, ...]) -> None:
        """Answer 429 to every call of these kinds for so many (real) seconds."""
        for kind in kinds:
            self._closed[kind] = self._clock.real_seconds() + seconds

    def open(self) -> None:
        """Lift a throttle set by hand."""
        self._closed = {"read": 0.0, "write": 0.0}

    def admit(self, call: Call) -> dict[str, str]:
        """The quota headers of an admitted call; GraphError 429 for a rejected one."""
        units = resource_units(call)
        closed = self._closed[call.kind] - self._clock.real_seconds()
        until = self._settings.throttle_writes_until
        if until is not None and call.kind == "write":
            closed = max(closed, until - time.time())
        if closed > 0:
            information = "WriteLimitExceeded" if call.kind == "write" else "ResourceUnitLimitExceeded"
            raise self._refusal(call, information, closed)
        if call.route and call.route.name == "audits" and not self._reports.admit(1):
            raise self._refusal(call, "ReportsLimitExceeded", self._reports.retry_after() / self._clock.scale)
        if not self._units.admit(units):
            raise self._refusal(call, "ResourceUnitLimitExceeded", self._units.retry_after() / self._clock.scale)
        if call.kind == "write" and not self._writes.admit(1):
            raise self._refusal(call, "WriteLimitExceeded", self._writes.retry_after() / self._clock.scale)
        headers = {"x-ms-resource-unit": str(units)}
        used = self._writes.used() if call.kind == "write" else self._units.used()
        if used > REPORT_PERCENTAGE_ABOVE:
            headers["x-ms-throttle-limit-percentage"] = f"{min(used, PERCENTAGE_CAP):.2f}"
        return headers

    def retry_header(self, seconds: float) -> dict[str, str]:
        """A `Retry-After` in the configured style; whole seconds are rounded up and at least 1."""
        style = self._settings.retry_after_style
        if style == "absent":
            return {}
        if style == "date":
            return {"Retry-After": formatdate(math.ceil(self._clock.now() + seconds), usegmt=True)}
        if style == "fractional":
            return {"Retry-After": f"{max(seconds, 0.001):.3f}"}
        return {"Retry-After": str(max(1, math.ceil(round(seconds, 3))))}

    def _refusal(self, call: Call, information: str, seconds: float) -> GraphError:
        app_id = call.grant.app_id if call.grant else ""
        tenant_id = call.grant.tenant_id if call.grant else ""
        scope = "Write" if information == "WriteLimitExceeded" else "ReadWrite"
        return GraphError(
            status=HTTPStatus.TOO_MANY_REQUESTS,
            code="TooManyRequests",
            message=(
                f"Too many requests from Identifier:{app_id}:{tenant_id} under category:aadgraph.app.tenant_large. "
                "Please try again later."
            ),
            headers={
                **self.retry_header(seconds),
                "x-ms-throttle-scope": f"Tenant_Application/{scope}/{app_id}/{tenant_id}",
                "x-ms-throttle-information": information,
            },
        )
