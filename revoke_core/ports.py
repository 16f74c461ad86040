"""What the use cases need from the world, as protocols; the real ends are in ``adapters``.

Microsoft Graph has its protocol in ``graph_port``, the status log its rows in ``log_ports``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from revoke_core.log_ports import RequestRows, UserRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.pace import Window
    from revoke_core.domain.results import UserRow
    from revoke_core.log_ports import Page

GateKind = Literal["read", "write"]


class Clock(Protocol):
    """Now, and waiting; one per process so that tests and adapters agree on the time."""

    def now(self) -> datetime:
        """The present moment, UTC."""

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the moment has come."""


class StatusLog(RequestRows, UserRows, Protocol):
    """The status log a person can read, and the run rows beside it."""


class UserIndex(Protocol):
    """Which requests touched a user; names are kept as digests only."""

    async def add(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Enter rows under their object id and their UPN; entering twice changes nothing."""

    async def find(self, user: UserRef, *, size: int, token: str | None) -> Page[tuple[str, int]]:
        """Request ids with the user's position in each, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An idempotency key that is taken: by which request, and the digest of its body."""

    request_id: str
    digest: str


class Ledger(Protocol):
    """Small facts shared by all instances: open requests, claims, tokens that have revoked, the signing key."""

    async def open(self, request_id: str) -> None:
        """Mark a request as unfinished, so that nothing forgets it."""

    async def close(self, request_id: str) -> None:
        """Take the mark away."""

    async def forget(self, request_id: str, driven_at: datetime) -> None:
        """Take away the mark of this moment; one that was made since stays."""

    async def open_requests(self) -> list[tuple[str, datetime]]:
        """Unfinished requests with the moment each was last driven."""

    async def driven(self, request_id: str) -> None:
        """Note that a request has just been driven again."""

    async def claim(self, scope: str, key: str, claim: Claim) -> Claim | None:
        """Take a key by an insert; ``None`` when it is ours now, else whose it is."""

    async def token_has_revoked(self, fingerprint: str) -> bool:
        """Whether the token is known to have revoked somebody."""

    async def note_token_revoked(self, fingerprint: str) -> None:
        """Remember that it has."""

    async def signing_key(self) -> bytes:
        """The app's own key for links and fingerprints, made at the first need."""


class Gates(Protocol):
    """The shared word of Graph's ``Retry-After``, reads and writes apart."""

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
        """As ``closed_until``, or the next moment at which ``may_probe`` says yes to somebody, if that comes first."""

    async def reopen(self, kind: GateKind) -> None:
        """Open the gate before its time, here at once and elsewhere within a second: a probe got through."""


class Budget(Protocol):
    """The one write rate that all instances share; every revoke call costs one token."""

    async def take(self, wanted: int, *, small: bool) -> int:
        """Take up to ``wanted`` tokens; 0 when there are none for this kind of request now.

        The last 100 (a tenth of a small quota) are only given to small requests. Taken in blocks, so most calls ask no
        storage.
        """

    async def stock(self, wanted: int, *, small: bool) -> None:
        """Have what ``take`` gives next in hand, for whoever is about to look at the write gate and send.

        Where that takes a write, it shows the gates as they stand, and no other look is needed for a while.
        """

    async def give_back(self, tokens: int) -> None:
        """Return tokens that were taken for calls which never left."""

    def next_at(self, wanted: int, *, small: bool) -> datetime:
        """When so many tokens are likely to be there, as far as this instance knows; never in the past."""

    def window(self, items: int) -> Window:
        """How many calls a request for so many users has on its way at first."""

    def most_calls(self, call_seconds: float, size: int) -> int:
        """How many calls of ``size`` writes that take so long may be on their way at once."""

    async def was_throttled(self, *, sent_at: datetime, pause: timedelta | None = None) -> None:
        """Told of a 429 for a write sent then: learn from it once per gate period, and empty the bucket.

        ``pause`` is its ``Retry-After``; left out, what is left of the write gate, which then has to be closed before.
        """

    def was_clean(self, items: int) -> None:
        """Told of writes that were answered without a 429: the rate regains a little."""

    async def seconds_for(self, tokens: int) -> float:
        """About how long so many tokens take from now on."""


class WorkQueue(Protocol):
    """References to work, never user lists."""

    async def put(self, request_id: str, *, delay: timedelta = timedelta(0)) -> str:
        """Have the request worked on after the delay; returns a receipt for ``withdraw``."""

    async def withdraw(self, receipt: str) -> None:
        """Take back a message that is not needed any more; one that is already gone is no error."""

    async def depth(self) -> int:
        """About how many messages wait in the doors' queue."""
