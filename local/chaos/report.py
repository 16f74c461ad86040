"""The campaign's results: one line per point on the terminal, and a page for the docs."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from local.chaos.points import POINTS, FaultPoint
from local.chaos.run import RECOVERY_SECONDS
from local.testbed.text_tables import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.chaos.campaign import Campaign
    from local.chaos.run import Outcome

HEADINGS: Final = (
    *("point", "runs", "faults", "users", "lost", "revoked again", "recovery median", "max", "pause asked", "failed"),
)

_FAULTS_SHOWN: Final = 8
_HOW: Final = """\
Hosts are ended with `kill -9` (`stop`: SIGTERM, and whatever
runs ends with the process) at an exchange with storage or Graph, and started again on the same
storage; a message stays locked for its real 10 minutes. After each run, and once more at the end, the tenant's log of
what it served is compared with the tables. More: [local-kit.md](local-kit.md#chaos)."""
_AGAIN: Final = """\
## How to run it

`make chaos` runs every point with 20 seeds against a tenant whose cut-off shows at once. With a cut-off that lags:
`make chaos ARGS="--lag 0,20,90,150"`, or one part of it: `python -m local chaos --points sent --seeds 1 --lag 90`.
While the cut-off shows within two minutes at most 20 users may be revoked again for each kill; beyond that nobody is
lost either, but every call that was in flight may be made again."""
_WORDS: Final = f"""\
*faults*: kills, stops and repeated messages that took place. *lost*: users without a final status. *revoked again*:
users whom Graph revoked twice in one request; 20 are allowed for each kill and stop while the cut-off shows within two
minutes. *recovery*: from the start of the new host to the request's final status, without the pauses that the
tenant asked for (*pause asked*, the longest); at most {RECOVERY_SECONDS:.0f} s, where the cut-off lags twice its lag
and a minute more."""


def line(outcome: Outcome, seconds: float) -> str:
    """One run as it comes in."""
    plan = outcome.plan
    recovery = "" if outcome.recovery is None else f", recovered in {outcome.recovery:.1f} s"
    stopped = "" if outcome.stop_seconds is None else f", stopped in {outcome.stop_seconds:.1f} s"
    again = outcome.findings.duplicates if outcome.findings else 0
    text = f"{'ok  ' if outcome.ok else 'FAIL'} {plan.reason}: {outcome.fired} of {len(plan.faults)} faults"
    text += f", {again} revoked again{recovery}{stopped} ({seconds:.1f} s)"
    return "\n".join([text, *(f"       {fault}" for fault in _first_faults(outcome.faults))])


def table(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """The summary, headings first, one line per point and lag, and one for all."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    for point in POINTS:
        for lag in sorted({outcome.plan.lag for outcome in outcomes}):
            mine = [one for one in outcomes if (one.plan.point.name, one.plan.lag) == (point.name, lag)]
            if mine:
                rows.append(_row(point.name + (f", lag {lag:g} s" if lag else ""), mine))
    rows.append(_row("all", outcomes))
    return rows


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    recoveries = [outcome.recovery for outcome in outcomes if outcome.recovery is not None]
    imposed = max((outcome.imposed for outcome in outcomes), default=0.0)
    findings = [outcome.findings for outcome in outcomes if outcome.findings]
    return (
        name,
        str(len(outcomes)),
        str(sum(outcome.fired for outcome in outcomes)),
        str(sum(len(outcome.plan.people) for outcome in outcomes)),
        str(sum(finding.lost for finding in findings)),
        str(sum(finding.duplicates for finding in findings)),
        f"{statistics.median(recoveries):.1f} s" if recoveries else "",
        f"{max(recoveries):.1f} s" if recoveries else "",
        f"{imposed:.1f} s" if imposed else "",
        str(sum(not outcome.ok for outcome in outcomes)),
    )


def write_page(path: Path, campaign: Campaign, outcomes: Sequence[Outcome], command: str) -> None:
    """Write the results with all that is needed to repeat them."""
    seeds = campaign.seeds
    faults = [f"- {outcome.plan.reason}: {fault}" for outcome in outcomes for fault in _first_faults(outcome.faults)]
    points = [point for point in POINTS if any(outcome.plan.point.name == point.name for outcome in outcomes)]
    path.write_text(
        f"# Chaos campaign\n\n`{command}` on {datetime.now(UTC):%Y-%m-%d}: seeds {seeds[0]} to {seeds[-1]}, "
        f"{campaign.users} users a run.\n\n{_HOW}\n\n{markdown(table(outcomes))}\n\n{_WORDS}\n\n"
        f"{_AGAIN}\n\n## Points\n\n{markdown(_meanings(points))}\n\n"
        f"## What went wrong\n\n{'\n'.join(faults) or 'Nothing.'}\n"
    )


def _first_faults(faults: Sequence[str]) -> list[str]:
    """The first faults; a broken engine has one for every row."""
    more = len(faults) - _FAULTS_SHOWN
    return [*faults[:_FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _meanings(points: Sequence[FaultPoint]) -> list[tuple[str, ...]]:
    return [("point", "the host dies when"), *((point.name, point.description) for point in points)]
