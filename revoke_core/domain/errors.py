"""Every way a call can be refused, as one tree.

RevokerError
├── InvalidRequest          the caller's words are wrong: 400, every fault named at once
├── Refused                 the request is well formed but not carried out as it stands
│   ├── TooLarge            413
│   ├── GuardRefused        422, more than one request may hold
│   ├── IdempotencyConflict 409, the key is taken by another body
│   ├── Conflict            409, the request is not in a state for this
│   ├── NotFound            404
│   ├── AccessDenied        401 or 403
│   │   └── CallerUnknown   401 with a challenge
│   └── Unavailable         503 with Retry-After: something the app needs does not answer
├── LeaseLost               another worker owns the request now: stop, write nothing
├── SettingsError           the app is configured wrongly: it does not start
└── TokenUnavailable        the managed identity gave no token
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LISTED_FAULTS = 100
NO_SUCH_REQUEST = "There is no such request. Check the id, and whether it is older than the retention time."


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input: ``pointer`` is a JSON Pointer (RFC 6901), "" for the whole body."""

    pointer: str
    detail: str


class Faults:
    """What is wrong with an input: the first 100 faults are kept, the others only counted; a body may hold millions."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._kept: list[Fault] = []
        self._count = 0
        for fault in faults:
            self.add(fault.pointer, fault.detail)

    def add(self, pointer: str, detail: str) -> None:
        """Note one more."""
        self._count += 1
        if len(self._kept) < LISTED_FAULTS:
            self._kept.append(Fault(pointer, detail))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Fault]:
        """Those that are kept."""
        return iter(self._kept)

    def __add__(self, others: Faults) -> Self:
        both = type(self)(chain(self, others))
        both._count = len(self) + len(others)
        return both


class RevokerError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidRequest(RevokerError):
    """The caller's words are wrong; ``faults`` are all that is wrong with them, and nothing has happened."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = faults if isinstance(faults, Faults) else Faults(faults)
        super().__init__("; ".join(f"{fault.pointer or 'body'}: {fault.detail}" for fault in [*self.faults][:3]))

    def listed(self) -> list[dict[str, str]]:
        """Faults as JSON, at most 100 and then one entry that counts the rest."""
        shown = [{"pointer": fault.pointer, "detail": fault.detail} for fault in self.faults]
        if len(self.faults) > len(shown):
            shown.append({"pointer": "", "detail": f"{len(self.faults) - len(shown)} more"})
        return shown


class Refused(RevokerError):
    """A whole call is turned away with one HTTP status and one sentence that says what to do next."""

    status = 400
    title = "Refused"
    kind = "refused"
    challenge: str | None = None

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class TooLarge(Refused):
    """The body is larger than the app reads."""

    status, title, kind = 413, "Request body too large", "body-too-large"


class GuardRefused(Refused):
    """A limit on what one request may hold forbids it; ``pointer`` is where it holds too much."""

    status, title, kind = 422, "Refused by a guard", "refused-by-guard"

    def __init__(self, detail: str, *, pointer: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


class IdempotencyConflict(Refused):
    """The idempotency key belongs to a request with another body."""

    status, title, kind = 409, "Idempotency key already used", "idempotency-conflict"


class Conflict(Refused):
    """The request is not in a state in which this can be done."""

    status, title, kind = 409, "Not possible now", "conflict"


class NotFound(Refused):
    """There is no such request, or the caller may not know of it."""

    status, title, kind = 404, "Not found", "not-found"


class AccessDenied(Refused):
    """The caller is unknown (401) or lacks the role (403)."""

    title, kind = "Access denied", "access-denied"

    def __init__(self, detail: str, *, status: int = 401) -> None:
        super().__init__(detail)
        self.status = status


class CallerUnknown(AccessDenied):
    """Nobody can tell who calls; ``challenge`` says what would (``WWW-Authenticate``, RFC 6750)."""

    challenge = "Bearer"


class Unavailable(Refused):
    """Something the app needs does not answer; the same call may succeed later."""

    status, title, kind = 503, "Temporarily unavailable", "unavailable"


class LeaseLost(RevokerError):
    """Another worker has taken the request over; whatever this one holds in memory is stale."""


class SettingsError(RevokerError):
    """One or more settings are missing or wrong; the message names each of them."""


class TokenUnavailable(RevokerError):
    """The managed identity endpoint gave no token; the message carries no secret."""
