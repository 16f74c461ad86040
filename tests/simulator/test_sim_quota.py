from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from local.simulator.clock import Clock
from local.simulator.quota import WriteQuota
from local.simulator.settings import QUOTA_MODELS, QuotaSettings

if TYPE_CHECKING:
    from conftest import Simulator


class SetClock(Clock):
    """Quota time that a test sets."""

    seconds = 0.0

    def quota_seconds(self) -> float:
        """The seconds set."""
        return self.seconds


def admitted(quota: WriteQuota, calls: int) -> int:
    return sum(quota.take() is None for _ in range(calls))


@pytest.mark.parametrize(
    ("model", "at_once", "after_ten_seconds"),
    [("bucket", 3000, 200), ("rejectsCost", 3000, 100), ("window", 3000, 0), ("hidden", 500, 20), ("empty", 0, 100)],
)
def test_each_model_admits_what_its_shape_says(model: str, at_once: int, after_ten_seconds: int) -> None:
    """A burst from the start plus 100 more, then ten seconds later: rejects cost where the model has it so."""
    clock = SetClock()
    quota = WriteQuota(QUOTA_MODELS[model], clock)
    assert admitted(quota, at_once) == at_once
    assert admitted(quota, 100) == 0
    clock.seconds = 10.0
    assert admitted(quota, 200) == after_ten_seconds


def test_rejects_cost_at_most_one_whole_capacity() -> None:
    """However long one hammers, the debt has a floor: after capacity / refill seconds twice, calls pass again."""
    clock = SetClock()
    quota = WriteQuota(QuotaSettings(model="rejectsCost", capacity=10, refill=1), clock)
    admitted(quota, 1000)
    clock.seconds = 11.0
    assert admitted(quota, 1) == 1


def test_a_window_sends_callers_to_its_end() -> None:
    """Retry-After is what is left of the 150 seconds, and then everything is there again."""
    clock = SetClock()
    quota = WriteQuota(QuotaSettings(model="window", capacity=2), clock)
    clock.seconds = 30.0
    assert [quota.take() for _ in range(3)] == [None, None, 120.0]
    clock.seconds = 150.0
    assert admitted(quota, 3) == 2


async def test_a_throttled_call_says_why_and_for_how_long(sim: Simulator) -> None:
    """429 with Retry-After, scope and information; the log lists it without effect."""
    await sim.configure(quota={"model": "empty", "refill": 0})
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (429, "TooManyRequests", "10")
    assert reply.headers["x-ms-throttle-scope"].startswith("Tenant_Application/Write/")
    assert reply.headers["x-ms-throttle-information"] == "WriteLimitExceeded"
    entry = (await sim.truth("revocations"))[0]
    assert (entry["status"], entry["effective"]) == (429, False)


async def test_the_percentage_shows_above_four_fifths(sim: Simulator) -> None:
    """`x-ms-throttle-limit-percentage` is absent until more than 0.8 of the quota is used."""
    await sim.configure(quota={"model": "bucket", "capacity": 10, "refill": 0})
    replies = [await sim.revoke("adele@contoso.com") for _ in range(9)]
    shown = [reply.headers.get("x-ms-throttle-limit-percentage") for reply in replies]
    assert (shown[6], shown[8]) == (None, "0.90")


@pytest.mark.parametrize(("style", "value"), [("integer", "3"), ("fractional", "2.500"), ("absent", None)])
async def test_a_faster_clock_shortens_the_pause_in_each_style(sim: Simulator, style: str, value: str | None) -> None:
    """Ten quota seconds at `timeScale: 4` are 2.5 real ones; whole seconds are rounded up."""
    await sim.configure(timeScale=4, retryAfterStyle=style, quota={"model": "empty", "refill": 0})
    assert (await sim.revoke("adele@contoso.com")).headers.get("Retry-After") == value


async def test_the_pause_can_be_a_date(sim: Simulator) -> None:
    """An HTTP date, about ten seconds after the answer's own."""
    await sim.configure(retryAfterStyle="date", quota={"model": "empty", "refill": 0})
    reply = await sim.revoke("adele@contoso.com")
    pause = parsedate_to_datetime(reply.headers["Retry-After"]) - parsedate_to_datetime(reply.headers["Date"])
    assert 10 <= pause.total_seconds() <= 11


async def test_reads_have_a_quota_of_their_own(sim: Simulator) -> None:
    """Writes throttled, reads pass; resource units throttle reads."""
    await sim.configure(quota={"model": "empty", "refill": 0})
    assert (await sim.graph("GET", "/users/adele@contoso.com")).status == 200
    await sim.configure(resourceUnitsPer10s=1, quota={"model": "bucket"})
    replies = [await sim.graph("GET", "/users/adele@contoso.com") for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    assert replies[1].headers["x-ms-throttle-information"] == "ResourceUnitLimitExceeded"


@pytest.mark.parametrize(("kind", "revoked", "read"), [("write", 429, 200), ("read", 200, 429), ("all", 429, 429)])
async def test_a_tenant_can_be_throttled_by_hand(sim: Simulator, kind: str, revoked: int, read: int) -> None:
    """Every call of the kind is sent away until the time is over."""
    await sim.call("POST", "/_sim/throttle", body={"seconds": 150, "kind": kind})
    assert (await sim.revoke("adele@contoso.com")).status == revoked
    assert (await sim.graph("GET", "/users/adele@contoso.com")).status == read


async def test_calls_before_the_end_of_a_pause_are_booked(sim: Simulator) -> None:
    """Coming back early is counted; a read is not early because writes were sent away."""
    await sim.configure(quota={"model": "empty", "refill": 0})
    await sim.revoke("adele@contoso.com")
    await sim.graph("GET", "/users/adele@contoso.com")
    assert (await sim.truth("calls"))["gateViolations"] == 0
    await sim.revoke("adele@contoso.com")
    books = await sim.truth("calls")
    assert books["gateViolations"] == 1
    assert 9 < books["largestLatenessSeconds"] <= 10


async def test_a_call_after_the_pause_is_served_and_is_no_violation(sim: Simulator) -> None:
    """After the Retry-After a call passes: the quota has refilled by then."""
    await sim.configure(timeScale=10, retryAfterStyle="fractional", quota={"model": "empty", "refill": 1})
    pause = float((await sim.revoke("adele@contoso.com")).headers["Retry-After"])
    await asyncio.sleep(pause + 0.01)
    assert (await sim.revoke("adele@contoso.com")).status == 200
    assert (await sim.truth("calls"))["gateViolations"] == 0
