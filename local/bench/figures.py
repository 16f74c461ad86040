"""One line of the table: what was measured, against what, and whether its budget is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``kept`` is ``None`` for a figure without a budget."""

    part: str
    name: str
    value: str
    note: str = ""
    budget: str = ""
    kept: bool | None = None

    @property
    def verdict(self) -> str:
        """The last column."""
        return {None: "", True: "kept", False: "MISSED"}[self.kept]


def at_most(value: float, limit: float) -> bool:
    """Whether a figure keeps an upper budget."""
    return value <= limit


HEADINGS = ("part", "figure", "value", "", "budget", "")


def cells(figures: list[Figure]) -> list[tuple[str, ...]]:
    """The table, headings first."""
    return [HEADINGS, *((one.part, one.name, one.value, one.note, one.budget, one.verdict) for one in figures)]
