"""``python -m local package``: builds the zip that Azure runs; docs/package.md explains how it is deployed."""

from __future__ import annotations

import argparse
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local.packaging.build import build
from local.packaging.errors import PackageError
from local.packaging.measure import APP, FLOOR, GRAPH, measure
from local.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

_MEGA: Final = 1_000_000


def main(argv: list[str]) -> int:
    """Build, and measure when asked; 0 when there is a package that may be deployed."""
    parser = argparse.ArgumentParser(prog="python -m local package", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zip (default %(default)s)")
    parser.add_argument("--measure", type=int, default=0, metavar="ROUNDS", help="time cold imports from the package")
    options = parser.parse_args(argv)
    try:
        package = build(ROOT, options.out.resolve(), _teller())
    except PackageError as problem:
        print(f"No package was built. {problem}", file=sys.stderr)
        return 1
    with zipfile.ZipFile(package) as archive:
        files = archive.infolist()
    unpacked = sum(entry.file_size for entry in files)
    print(f"\n{package}")
    print(f"  {package.stat().st_size / _MEGA:.1f} MB, {len(files)} files, {unpacked / _MEGA:.0f} MB unpacked")
    if options.measure:
        _tell_times(measure(package, options.measure))
    return 0


def _tell_times(times: dict[str, float]) -> None:
    floor = times[FLOOR]
    print("\ncold import from the package, fresh processes, medians")
    for name, code in ((FLOOR, FLOOR), (APP, APP), ("the same with the Graph client built", GRAPH)):
        print(f"  {name:38}{times[code]:>8.0f} ms   {times[code] / floor:.2f} x")


def _teller() -> Callable[[str], None]:
    begun = time.monotonic()
    return lambda step: print(f"[{time.monotonic() - begun:5.1f} s] {step}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
