"""Every way a call can be refused, as one tree.

RevokerError
├── InvalidRequest          the input is not valid: 400, every fault named at once
├── Refused                 the request is well formed but not carried out as it stands
│   ├── TooLarge            413
│   ├── GuardRefused        422, more than one request may hold
│   ├── IdempotencyConflict 409, the key is taken by another body
│   ├── Conflict            409, the request is not in a state for this
│   ├── NotFound            404
│   ├── AccessDenied        403, the caller lacks the role
│   │   ├── CallerUnknown   401 with a challenge
│   │   └── LinkRefused     401
│   ├── TooManyOpen         429 with Retry-After: the caller has too many requests open
│   └── Unavailable         503 with Retry-After: something the app needs does not answer
│       ├── ProtectionUnavailable   the protected list
│       └── RevokingPaused          the operator's word
├── LeaseLost               another worker owns the request now: stop, write nothing
├── SettingsError           the app is configured wrongly: it does not start
└── TokenUnavailable        the managed identity gave no token
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

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

    def include(self, others: Faults, within: str) -> None:
        """Note all of a part's faults; ``within`` is the pointer to the part."""
        for fault in others:
            self.add(within + fault.pointer, fault.detail)
        self._count += len(others) - sum(1 for _ in others)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Fault]:
        """Those that are kept."""
        return iter(self._kept)


class RevokerError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidRequest(RevokerError):
    """The input is not valid; ``faults`` are all that is wrong with it, and nothing has happened."""

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
    """A whole call is refused with one HTTP status and a sentence that says what to do next."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    title: ClassVar[str] = "Refused"
    kind: ClassVar[str] = "refused"
    challenge: ClassVar[str | None] = None

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class TooLarge(Refused):
    """The body is larger than the app reads."""

    status, title, kind = HTTPStatus.CONTENT_TOO_LARGE, "Request body too large", "body-too-large"


class GuardRefused(Refused):
    """A limit on what one request may hold forbids it; ``pointer`` is where it holds too much."""

    status, title, kind = HTTPStatus.UNPROCESSABLE_CONTENT, "Refused by a guard", "refused-by-guard"

    def __init__(self, detail: str, *, pointer: str) -> None:
        super().__init__(detail)
        self.pointer = pointer

    def listed(self) -> list[dict[str, str]]:
        """The one fault as JSON, as of an ``InvalidRequest``."""
        return [{"pointer": self.pointer, "detail": self.detail}]


class IdempotencyConflict(Refused):
    """The idempotency key belongs to a request with another body."""

    status, title, kind = HTTPStatus.CONFLICT, "Idempotency key already used", "idempotency-conflict"


class Conflict(Refused):
    """The request is not in a state in which this can be done."""

    status, title, kind = HTTPStatus.CONFLICT, "Not possible now", "conflict"


class NotFound(Refused):
    """There is no such request, or the caller may not see it."""

    status, title, kind = HTTPStatus.NOT_FOUND, "Not found", "not-found"


class AccessDenied(Refused):
    """The caller lacks the role."""

    status, title, kind = HTTPStatus.FORBIDDEN, "Access denied", "access-denied"


class CallerUnknown(AccessDenied):
    """The call does not identify its caller; ``challenge`` says how to (``WWW-Authenticate``, RFC 6750)."""

    status, challenge = HTTPStatus.UNAUTHORIZED, "Bearer"


class LinkRefused(AccessDenied):
    """The signature of an operation link does not open the request."""

    status = HTTPStatus.UNAUTHORIZED


class TooManyOpen(Refused):
    """The caller has as many requests open as one may have; some have to end first."""

    status, title, kind = HTTPStatus.TOO_MANY_REQUESTS, "Too many open requests", "too-many-open-requests"


class Unavailable(Refused):
    """Something the app needs does not answer; the same call may succeed later."""

    status, title, kind = HTTPStatus.SERVICE_UNAVAILABLE, "Temporarily unavailable", "unavailable"


class ProtectionUnavailable(Unavailable):
    """There is no protected list to go by, so nothing is accepted."""

    title, kind = "Protected list unreadable", "protectedListUnreadable"


class RevokingPaused(Unavailable):
    """The operator has new requests refused."""

    title, kind = "Revoking is paused", "paused"


class LeaseLost(RevokerError):
    """Another worker holds the request's lease now; what this one has in memory is stale."""


class SettingsError(RevokerError):
    """One or more settings are missing or wrong; the message names each of them."""


class TokenUnavailable(RevokerError):
    """The managed identity endpoint gave no token; the message carries no secret."""
