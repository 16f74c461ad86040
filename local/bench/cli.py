"""``python -m local bench``: the budgets of this version as ratios, both sides measured in one run.

The whole set takes about ten minutes; --only chooses parts, --report writes a page with a plot.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local.bench import calls, crowd, large, memory, quotas, recovery, sdk, small
from local.bench.app import BenchFailedError
from local.bench.bounds import MODELS
from local.bench.figures import cells
from local.bench.report import write_page
from local.processes import ChildFailedError
from local.testbed.text_tables import printed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from local.bench.figures import Figure
    from local.bench.quotas import QuotaRun

PARTS: Final = {
    "one": "one user over HTTP, warm, against bare Graph round trips",
    "small": "one small request beside a plain function: CPU, storage transactions, latency, over HTTP and by message",
    "imports": "the app's import, in fresh processes",
    "loop": "1,000 users against a loop over the Graph SDK, 150 ms latency",
    "gather": "3,600 users against asyncio.gather over the Graph SDK, under a quota",
    "quotas": "the bulk engine against the bound of each quota model",
    "memory": "peak memory of the host, by size",
    "large": "beside a request of 100,000 users: its 202, its status, one user behind it",
    "crowd": "another caller's single user beside one caller's 1,000 requests; ending these with one call",
    "recovery": "stranded requests that a fresh host drives again",
}
_LOOP_USERS: Final = 1_000
_GATHER_USERS: Final = 3_600
_MEMORY_SIZES: Final = (1_000, 10_000)
_RECOVERY_SIZES: Final = (10_000,)


@dataclass
class Bench:
    """The figures so far."""

    options: argparse.Namespace
    figures: list[Figure] = field(default_factory=list)
    results: list[QuotaRun] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    async def execute(self) -> None:
        """Every part that was asked for; a part that fails does not end the others."""
        parts: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
            "one": lambda: calls.one_user(self.options.rounds),
            "small": lambda: small.measured(self.options.rounds, self.options.messages),
            "imports": self._imports,
            "loop": lambda: sdk.sequential(_LOOP_USERS),
            "gather": lambda: sdk.gathered(_GATHER_USERS, self.options.settings),
            "quotas": self._quotas,
            "memory": lambda: memory.measured(self.options.sizes or _MEMORY_SIZES),
            "large": lambda: large.measured(self.options.large, self.options.hosts),
            "crowd": crowd.measured,
            "recovery": lambda: recovery.measured(
                self.options.sizes or _RECOVERY_SIZES, until_ended=self.options.until_ended
            ),
        }
        for name in self.options.only:
            begun = time.monotonic()
            try:
                self.figures += await parts[name]()
            except (BenchFailedError, ChildFailedError, TimeoutError) as problem:
                self.broken.append(f"{name} stopped: {problem}")
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)

    async def _imports(self) -> list[Figure]:
        return calls.imports(self.options.imports)

    async def _quotas(self) -> list[Figure]:
        options = self.options
        self.results = await quotas.measured(
            options.models,
            users=options.users,
            writes=options.writes,
            scale=options.scale,
            hosts=options.hosts,
            settings=options.settings,
        )
        return quotas.figures(self.results)


def main(argv: list[str]) -> int:
    """Print the table; 0 when every budget is kept."""
    options = _parser().parse_args(argv)
    options.settings = dict(options.setting)
    bench = Bench(options)
    asyncio.run(bench.execute())
    print(printed(cells(bench.figures)))
    for problem in bench.broken:
        print(f"\n{problem}", file=sys.stderr)
    if options.report:
        write_page(options.report, argv, bench.figures, bench.results)
    missed = any(figure.kept is False for figure in bench.figures)
    return 1 if missed or bench.broken else 0


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:8} {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m local bench",
        description=__doc__,
        epilog=f"parts:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", type=_among(PARTS), default=list(PARTS), help="parts, separated by commas (default: all)")
    add("--rounds", type=int, default=30, help="one, small: measured calls (default %(default)s)")
    add("--messages", type=int, default=200, help="small: messages, each of one user (default %(default)s)")
    add("--imports", type=int, default=11, help="imports: measured pairs (default %(default)s)")
    add("--users", type=int, default=10_000, help="quotas: users of a run (default %(default)s)")
    add("--models", type=_among(MODELS), default=list(MODELS), help="quotas: models (default: all)")
    add("--writes", type=int, default=quotas.PUBLISHED, help="quotas: writes in 150 s of quota time (default 3000)")
    add("--scale", type=float, default=10.0, help="quotas: quota seconds in a real one (default %(default)s)")
    add("--hosts", type=int, default=1, help="quotas, large: host processes on one storage (default %(default)s)")
    add("--sizes", type=_numbers, help="memory: users of a request (default 1000,10000); recovery: requests (10000)")
    add("--until-ended", action="store_true", help="recovery: also until all have ended, up to 10,000 requests")
    add("--large", type=int, default=100_000, help="large: users of the huge request (default %(default)s)")
    add("--setting", type=_pair, action="append", default=[], help="quotas, gather: a setting of the app, NAME=VALUE")
    add("--report", type=Path, help="also write the results to this file, e.g. docs/performance.md, with a plot")
    return parser


def _among(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"{text!r} is not among {', '.join(known)}")
        return names

    return parse


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
