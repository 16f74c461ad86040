"""What the use cases need that all instances share, as protocols; adapters implement them over tables and queues."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from revoke_core.domain.evidence import EvidenceMarker
    from revoke_core.domain.lanes import Lane
    from revoke_core.domain.pacing import ConcurrencyLimit
    from revoke_core.domain.user_state import UserRow

GateKind = Literal["read", "write"]


class Clock(Protocol):
    """Now, and waiting; one per process so that tests and adapters agree on the time."""

    def now(self) -> datetime:
        """The present moment, UTC."""

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the moment has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """An open marker: ``redriven`` counts the work messages the timer has sent since a worker last moved it.

    ``is_callback``: a callback marker, of a callback that is still to be delivered.
    """

    request_id: str
    redriven: int
    is_callback: bool = False


class OpenRequests(Protocol):
    """The open markers: every request that has not ended, with the moment from which the timer redrives it.

    ``StatusLog.create_request`` makes a marker and ``StatusLog.finish_request`` removes it.
    """

    def due(self, now: datetime, *, paused: bool) -> AsyncIterator[list[OpenRequest]]:
        """Open requests whose ``redrive_at`` has come, oldest request first, at most 100 at a time.

        Those without a work message on its way come before those that no worker has taken from the queue yet; these,
        and callbacks that are due, come after all others.
        Unless this host is ``paused`` too, requests that only wait for the pause to end are due as well.
        """

    async def note_redriven(self, batch: Sequence[OpenRequest], now: datetime) -> None:
        """A work message is about to go out for each: due again after 45 s, then 90 s …, at most 8 minutes."""

    def of_caller(self, caller: str, since: datetime | None, now: datetime) -> AsyncIterator[list[str]]:
        """Ids of the open requests of one ``RequestedBy.caller`` made at or after ``since``, at most 100 at a time."""

    async def count(self, caller: str, most: int, now: datetime) -> int:
        """How many requests a caller has open; counted no further than ``most``."""

    async def mark_due(self, request_ids: Sequence[str], now: datetime) -> None:
        """Have the timer redrive at most 100 requests at its next run."""

    async def postpone(self, request_id: str, redrive_at: datetime, *, paused: bool = False) -> None:
        """A worker says when the timer is to redrive the request; nothing happens once the request has ended.

        ``paused`` marks a request that waits only for ``REVOKING_PAUSED`` to end.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProtection:
    """The protected list as it was read last.

    ``entries`` has the object id of every entry of ``PROTECTED_USERS`` that was ever resolved, by the entry's key;
    ``members`` are the object ids of ``group``, read at ``read_at``.
    """

    entries: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    members: frozenset[str] = frozenset()
    read_at: datetime | None = None


class ProtectedListStore(Protocol):
    """Where the protected list is kept for the time in which it cannot be read."""

    async def get(self) -> StoredProtection:
        """The list that was kept last; an empty one where there is none."""

    async def put(self, kept: StoredProtection) -> None:
        """Keep this list; entries that another instance has resolved meanwhile stay."""


class TokenHistory(Protocol):
    """Access tokens that are known to have revoked a user, by fingerprint: proof of their permission."""

    async def has_revoked(self, fingerprint: str) -> bool:
        """Whether the token has revoked a user, as far as any instance knows."""

    async def note_revoked(self, fingerprint: str) -> None:
        """Remember that it has."""


class SigningKey(Protocol):
    """The app's own key for links and caller fingerprints."""

    async def get(self) -> bytes:
        """The key; the first instance that needs it makes it."""


class Gates(Protocol):
    """Graph's ``Retry-After`` as all instances know it, reads and writes apart."""

    async def closed_until(self, kind: GateKind) -> datetime | None:
        """When the gate opens, or ``None`` when calls may leave; another instance's gate is seen within a second."""

    async def close_for(self, kind: GateKind, pause: timedelta) -> None:
        """Let no call leave before the pause has passed: here at once, elsewhere within a second."""

    async def may_probe(self, kind: GateKind) -> bool:
        """Whether one item may leave through a gate that was closed for more than ten minutes.

        ``True`` for one caller among all instances, every ten minutes of such a gate; asked when ``closed_until`` names
        a moment. If the item gets through, ``reopen`` follows; if not, its ``Retry-After`` goes to ``close_for``.
        """

    async def next_try(self, kind: GateKind) -> datetime | None:
        """As ``closed_until``, or the next moment at which ``may_probe`` may answer yes, if that comes first."""

    async def reopen(self, kind: GateKind) -> None:
        """Open the gate before its time, here at once and elsewhere within a second: a probe got through."""


class Budget(Protocol):
    """The one write rate that all instances share; every revoke call costs one token."""

    async def take(self, wanted: int, *, lane: Lane) -> int:
        """Take up to ``wanted`` tokens; 0 when there are none for this kind of request now.

        Only small requests draw the last 100 tokens (a tenth of a small quota), and of a caller beyond its share the
        last 50 of them none. Tokens come in blocks, so most calls need no storage; a large request of a low bucket
        waits for its block in the order in which all instances have booked.
        """

    async def prefetch(self, wanted: int, *, lane: Lane) -> None:
        """Have a block ready for the next ``take``.

        Where that takes a write, the write refreshes the gates too, so no separate read is needed for a while.
        """

    async def give_back(self, tokens: int) -> None:
        """Return tokens that were taken for calls which never left."""

    def next_at(self, wanted: int, *, lane: Lane) -> datetime:
        """When so many tokens are likely to be there, as far as this instance knows; never in the past."""

    def concurrency_limit(self, items: int) -> ConcurrencyLimit:
        """The limit on calls in flight that a request for so many users starts with."""

    def most_calls(self, call_seconds: float, size: int) -> int:
        """How many calls of ``size`` writes that take so long may be in flight at once."""

    async def was_throttled(self, *, sent_at: datetime, pause: timedelta | None = None) -> None:
        """Learn from a 429 for a write sent then, once per gate period, and empty the bucket.

        ``pause`` is its ``Retry-After``; left out, what is left of the write gate, which then has to be closed before.
        """

    def was_sent(self, items: int) -> None:
        """Writes were answered, some perhaps with a 429: what may explain it."""

    def was_clean(self, items: int) -> None:
        """Writes were answered without a 429: the rate regains a little."""

    async def seconds_for(self, tokens: int) -> float:
        """About how long so many tokens take from now on."""


class EvidenceStore(Protocol):
    """Ended requests whose evidence is still to be read, and where it is written.

    ``StatusLog.finish_request`` makes a marker.
    """

    async def due(self, now: datetime) -> list[EvidenceMarker]:
        """Markers whose round has come, the one that is due longest first."""

    async def move(self, marker: EvidenceMarker) -> None:
        """Write a marker that is there; one that is gone stays gone."""

    async def remove(self, request_id: str) -> None:
        """Remove a marker: there is nothing more to be read."""

    async def save(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Write the evidence of at most 100 users, and nothing else of their rows; rows that are gone stay gone."""

    async def warn(self, request_id: str, text: str) -> None:
        """Set the one warning about evidence that an ended request shows; ``""`` takes it back."""


class ReportsPace(Protocol):
    """The pace of Graph's reporting API, whose limit is its own: all instances together make one call in 2.2 s."""

    async def turn(self, until: datetime) -> bool:
        """Wait until a call may leave; ``False`` at once when that is later than ``until``."""

    async def close_for(self, pause: timedelta) -> None:
        """Let no call of any instance take its turn before the pause has passed."""


class WorkQueue(Protocol):
    """References to work, never user lists, and request messages that have to wait."""

    async def put(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        """Have the request worked on after the delay."""

    async def put_callback(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        """Have the request's callback delivered after the delay."""

    async def give_back(self, text: str, *, delay: timedelta) -> None:
        """Put a request message that cannot be carried out now into the doors' queue again, hidden for the delay."""

    async def depth(self) -> int:
        """About how many messages wait in the doors' queue."""
