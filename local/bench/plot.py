"""A small SVG: writes so far over time, against the most the quota allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.bench.quotas import QuotaRun

_WIDTH: Final = 360
_HEIGHT: Final = 220
_LEFT: Final = 52
_TOP: Final = 28
_BOTTOM: Final = 34
_POINTS: Final = 200
_COLUMNS: Final = 2
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}.axis{stroke:#999;fill:none}"
    ".bound{stroke:#c60;fill:none;stroke-dasharray:5 3}.app{stroke:#06c;fill:none;stroke-width:2}"
)


def write(path: Path, results: Sequence[QuotaRun]) -> None:
    """One panel per quota model."""
    rows = -(-len(results) // _COLUMNS)
    panels = (
        f'<g transform="translate({place % _COLUMNS * _WIDTH},{place // _COLUMNS * _HEIGHT})">{_panel(result)}</g>'
        for place, result in enumerate(results)
    )
    width, height = _WIDTH * min(len(results), _COLUMNS), _HEIGHT * rows
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>Writes over time against the bound of each quota model</title><style>{_STYLE}</style>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(panels)}</svg>\n'
    )


def _panel(result: QuotaRun) -> str:
    """Quota seconds to the right, thousands of users up."""
    first = result.seen.accepted[0]
    last = max(result.seen.seconds, result.bound) * result.scale
    wide, high = _WIDTH - _LEFT - 16, _HEIGHT - _TOP - _BOTTOM

    def place(seconds: float, writes: float) -> str:
        return f"{_LEFT + wide * seconds / last:.1f},{_TOP + high * (1 - writes / result.users):.1f}"

    step = max(1, len(result.seen.accepted) // _POINTS)
    seen = [
        place((result.seen.accepted[number - 1] - first) * result.scale, number)
        for number in [*range(1, result.users, step), len(result.seen.accepted)]
    ]
    moments = [last * number / _POINTS for number in range(_POINTS + 1)]
    most = [place(moment, min(result.users, result.quota.admitted(moment, idle=result.idle))) for moment in moments]
    foot = _HEIGHT - _BOTTOM
    return (
        f'<path class="axis" d="M{_LEFT},{_TOP}V{foot}H{_WIDTH - 16}"/>'
        f'<polyline class="bound" points="{" ".join(most)}"/><polyline class="app" points="{" ".join(seen)}"/>'
        f'<text class="title" x="{_LEFT}" y="18">{result.quota.model}: {result.share:.1%} of the bound</text>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 10}" text-anchor="end">{result.users:,}</text>'
        f'<text x="{_LEFT - 6}" y="{foot}" text-anchor="end">0</text>'
        f'<text x="{_WIDTH - 16}" y="{foot + 16}" text-anchor="end">{last:.0f} s of quota time</text>'
        f'<text x="{_LEFT}" y="{foot + 16}">users revoked; dashed: the bound</text>'
    )
