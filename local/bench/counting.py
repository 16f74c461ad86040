"""What a host asks of storage and Graph while something is measured, seen by its proxies."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.rig import wire
from local.rig.early import EarlyCalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.rig.proxy import Exchange
    from local.rig.stage import Seat


@dataclass(kw_only=True)
class Tally:
    """Storage transactions (an entity-group transaction is one), rows read, Graph calls, and what is idle polling."""

    storage: int = 0
    idle: int = 0
    rows: int = 0
    graph: int = 0
    early: list[EarlyCalls] = field(default_factory=list)

    @property
    def early_calls(self) -> int:
        """Calls that left a host before a ``Retry-After`` it had been told had passed."""
        return sum(one.calls for one in self.early)

    def answered(self, exchange: Exchange) -> None:
        """Count one exchange."""
        if exchange.side == "graph":
            self.graph += 1
        elif wire.is_idle_poll(exchange):
            self.idle += 1
        else:
            self.storage += 1
            self.rows += wire.rows_read(exchange)


@contextmanager
def counted(seats: Iterable[Seat]) -> Iterator[Tally]:
    """Count everything that goes through these hosts' proxies while the context lasts."""
    tally = Tally()
    watches = [seat.watch for seat in seats]
    for watch in watches:
        early = EarlyCalls()
        tally.early.append(early)
        watch.heralds.append(early.arrived)
        watch.onlookers += [tally.answered, early.answered]
    try:
        yield tally
    finally:
        for watch in watches:
            watch.heralds.clear()
            watch.onlookers.clear()


def peak_memory(pid: int) -> float:
    """The most memory a process has held, MB; ``nan`` where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
