"""The bench's page: command, date, every figure with its budget, and the plot."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from local.bench import plot
from local.bench.figures import cells
from local.testbed.text_tables import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.bench.figures import Figure
    from local.bench.quotas import QuotaRun

_HOW: Final = """\
Everything runs on one machine against the tenant simulator and Azurite, and each ratio has both of its sides in one
run. Under a quota the bound is the least time that its model allows, from the first write to the last; times are real
seconds at a quota that runs faster than real time. More: [local-kit.md](local-kit.md#bench)."""


def write_page(path: Path, argv: Sequence[str], figures: list[Figure], results: Sequence[QuotaRun]) -> None:
    """Write the page, and beside it the plot when there is something to draw."""
    command = shlex.join(["python", "-m", "local", "bench", *argv])
    text = f"# Performance\n\n`{command}` on {datetime.now(UTC):%Y-%m-%d}.\n\n{_HOW}\n\n{markdown(cells(figures))}\n"
    if results:
        picture = path.with_suffix(".svg")
        plot.write(picture, results)
        text += f"\n![Writes over time against the bound of each quota model]({picture.name})\n"
    path.write_text(text)
