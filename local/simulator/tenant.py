"""Everything one simulated tenant consists of, put together."""

from typing import Any

from local.simulator.audits import AuditLog
from local.simulator.clock import Clock
from local.simulator.directory import Directory
from local.simulator.faults import Faults
from local.simulator.gateway import Gateway
from local.simulator.identity import Identity
from local.simulator.operations import Operations
from local.simulator.quota import Gatekeeper, ResourceUnits, SlidingWindow, WriteQuota
from local.simulator.settings import Settings
from local.simulator.sign_ins import SignInLog


class Tenant:
    """The composition root of the simulator."""

    def __init__(self, *, bulk_users: int, identity_header: str, config: dict[str, Any] | None = None) -> None:
        self._start = dict(config or {})
        self.settings = Settings()
        self.settings.update(self._start)
        self.clock = Clock()
        self.directory = Directory(clock=self.clock, bulk_users=bulk_users)
        self.identity = Identity(settings=self.settings, clock=self.clock, header=identity_header)
        self.faults = Faults()
        self.operations = Operations(
            directory=self.directory,
            settings=self.settings,
            clock=self.clock,
            audits=AuditLog(clock=self.clock, settings=self.settings),
            sign_ins=SignInLog(directory=self.directory, clock=self.clock, settings=self.settings),
        )
        self.gateway = Gateway(
            settings=self.settings,
            clock=self.clock,
            directory=self.directory,
            operations=self.operations,
            faults=self.faults,
            gatekeeper=Gatekeeper(self.clock),
            writes=WriteQuota(self.settings.quota, self.clock),
            units=ResourceUnits(self.settings.resource_units_per10s, self.clock),
            reports=SlidingWindow(self.settings.reports_per10s, self.clock),
        )
        self._apply(set(self._start))

    def configure(self, values: dict[str, Any]) -> None:
        """Change settings; quotas start afresh when theirs change."""
        self._apply(self.settings.update(values))

    def reset(self, *, with_log: bool) -> None:
        """Back to the configuration of the start: no faults, full quotas; the log stays unless it is asked away."""
        fresh = Settings()
        fresh.update(self._start)
        self.settings.update(fresh.as_json())
        self.faults.listed.clear()
        self.gateway.throttled.clear()
        self.gateway.gatekeeper = Gatekeeper(self.clock)
        self.gateway.counts.clear()
        if with_log:
            self.operations.served.clear()
        self._apply({"quota", "resource_units_per10s", "reports_per10s", "time_scale", "clock_skew_seconds"})

    def _apply(self, changed: set[str]) -> None:
        self.clock.skew = self.settings.clock_skew_seconds
        if self.clock.scale != self.settings.time_scale:
            self.clock.rescale(self.settings.time_scale)
        if "quota" in changed:
            self.gateway.writes = WriteQuota(self.settings.quota, self.clock)
        if changed & {"resource_units_per10s", "resourceUnitsPer10s"}:
            self.gateway.units = ResourceUnits(self.settings.resource_units_per10s, self.clock)
        if "reports_per10s" in changed:
            self.gateway.reports = SlidingWindow(self.settings.reports_per10s, self.clock)
