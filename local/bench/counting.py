"""Counts the storage transactions and Graph calls of a host while something is measured, at its proxies."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.testbed import exchanges
from local.testbed.early_calls import EarlyCalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.testbed.environment import HostProcess
    from local.testbed.proxy import Exchange


@dataclass(kw_only=True)
class TrafficCounts:
    """Storage transactions (an entity-group transaction is one), rows read, Graph calls, and what is idle polling."""

    storage: int = 0
    idle: int = 0
    rows: int = 0
    graph: int = 0
    early: list[EarlyCalls] = field(default_factory=list)

    @property
    def early_calls(self) -> int:
        """Calls that left a host before a ``Retry-After`` that it had received had passed."""
        return sum(one.calls for one in self.early)

    def on_response(self, exchange: Exchange) -> None:
        """Count one exchange."""
        if exchange.side == "graph":
            self.graph += 1
        elif exchanges.is_idle_poll(exchange):
            self.idle += 1
        else:
            self.storage += 1
            self.rows += exchanges.rows_read(exchange)


@contextmanager
def count_traffic(hosts: Iterable[HostProcess]) -> Iterator[TrafficCounts]:
    """Count everything that goes through these hosts' proxies while the context lasts."""
    traffic = TrafficCounts()
    interceptors = [host.interceptor for host in hosts]
    for interceptor in interceptors:
        early = EarlyCalls()
        traffic.early.append(early)
        interceptor.on_request.append(early.on_request)
        interceptor.on_response += [traffic.on_response, early.on_response]
    try:
        yield traffic
    finally:
        for interceptor in interceptors:
            interceptor.on_request.clear()
            interceptor.on_response.clear()


def peak_memory(pid: int) -> float:
    """The most memory a process has held, MB; ``nan`` where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
