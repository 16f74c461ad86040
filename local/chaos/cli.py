"""``python -m local chaos``: kill hosts at named points and at random, then compare the tenant's log with the tables.

Every fault is planned from a seed, so that a run can be repeated: --points NAME --first-seed N --seeds 1.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local.chaos.campaign import Campaign, run_campaign, select_points
from local.chaos.points import POINTS
from local.chaos.report import line, table, write_page
from local.processes import ChildFailedError
from local.testbed.text_tables import printed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.chaos.run import Outcome

SLICE: Final = ("arrived", "continued", "stop")
_SLICE_USERS: Final = 60


def main(argv: list[str]) -> int:
    """Run a campaign; 0 when no run has a fault."""
    options = _parser().parse_args(argv)
    try:
        campaign = _campaign(options)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    runs = len(campaign.runs())
    print(f"{runs} runs with {campaign.users} users each, {campaign.lanes} side by side", flush=True)
    begun = time.monotonic()
    try:
        outcomes = asyncio.run(
            run_campaign(campaign, lambda outcome, seconds: print(line(outcome, seconds), flush=True))
        )
    except ChildFailedError as problem:
        print(f"\nThe campaign stopped: {problem}", file=sys.stderr)
        return 1
    print(f"\n{printed(table(outcomes))}\n\n{_summary(outcomes)} ({(time.monotonic() - begun) / 60:.1f} min)")
    if options.report:
        write_page(options.report, campaign, outcomes, shlex.join(["python", "-m", "local", "chaos", *argv]))
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {point.name:10} {point.description}" for point in POINTS)
    parser = argparse.ArgumentParser(
        prog="python -m local chaos",
        description=__doc__,
        epilog=f"points:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=20, help="runs of each point (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first seed (default %(default)s)")
    parser.add_argument("--points", default="", help="names, separated by commas (default: all)")
    parser.add_argument("--users", type=int, default=200, help="users of a run (default %(default)s)")
    parser.add_argument("--lanes", type=int, default=4, help="runs side by side, each on a kit of its own (default 4)")
    parser.add_argument(
        "--lag",
        default="0",
        help="seconds that the tenant's cut-off takes to show; several, separated by commas, are run one after the "
        "other, e.g. 0,20,90,150 (default %(default)s)",
    )
    parser.add_argument("--slice", action="store_true", help="a quick look: three points, one seed, 60 users")
    parser.add_argument("--report", type=Path, help="also write the results to this file, e.g. docs/chaos.md")
    return parser


def _campaign(options: argparse.Namespace) -> Campaign:
    names = SLICE if options.slice else [name for name in options.points.split(",") if name]
    return Campaign(
        points=select_points(names),
        seeds=tuple(range(options.first_seed, options.first_seed + (1 if options.slice else options.seeds))),
        users=_SLICE_USERS if options.slice else options.users,
        lanes=1 if options.slice else options.lanes,
        lags=_seconds(options.lag),
    )


def _seconds(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 0:
        raise ValueError(f"--lag: {text!r} is no list of seconds; write 0,20,90,150")
    return found


def _summary(outcomes: Sequence[Outcome]) -> str:
    failed = sum(not outcome.ok for outcome in outcomes)
    return f"{failed} of {len(outcomes)} runs failed" if failed else f"all {len(outcomes)} runs kept every promise"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
