"""A Graph call and its answer, the same for a single request and for an item of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
METADATA = "https://graph.microsoft.com/v1.0/$metadata"

Via = Literal["single", "batch"]
Kind = Literal["read", "write", "reports"]


def is_success(status: int) -> bool:
    """Whether a status is any 2xx."""
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The claims of a valid bearer token."""

    app_id: str
    object_id: str
    tenant_id: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a path leads: the resource's `name`, the `key` it names (if any), and `template` for counting."""

    name: str
    template: str
    key: str = ""
    cast: bool = False
    count: bool = False


@dataclass(slots=True, kw_only=True)
class Call:
    """One Graph operation asked for.

    `target` is the path and query below the version, still percent-encoded; header names are lower case;
    `origin` is the scheme and host the caller used, on which nextLinks are built.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    origin: str
    request_id: str
    client_request_id: str
    via: Via
    body: bytes | None = None
    grant: Grant | None = None
    route: Route | None = None
    params: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Which throttle and which quota apply to the call."""
        if self.target.lower().startswith("/auditlogs/"):
            return "reports"
        return "read" if self.method in {"GET", "HEAD"} else "write"

    @property
    def eventual(self) -> bool:
        """Whether the caller accepts the eventually consistent index."""
        return self.headers.get("consistencylevel", "").lower() == "eventual"

    @property
    def advanced(self) -> bool:
        """Whether both conditions of an advanced query are met."""
        return self.eventual and self.params.get("$count", "").lower() == "true"

    def held_roles(self) -> frozenset[str]:
        """The application permissions in the caller's token."""
        return self.grant.roles if self.grant else frozenset()


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back: a JSON body (dict or list), raw bytes, or none; and what befalls the connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    retry_after: float | None = None
    mishap: "Mishap | None" = None


@dataclass(slots=True, kw_only=True)
class Mishap:
    """What a fault does to the connection that carries the answer (seconds)."""

    delay: float = 0.0
    hang: float = 0.0
    drop: bool = False
    truncate: bool = False

    def merge(self, other: "Mishap") -> None:
        """Add what another fault does to the same connection."""
        self.delay = max(self.delay, other.delay)
        self.hang = max(self.hang, other.hang)
        self.drop = self.drop or other.drop
        self.truncate = self.truncate or other.truncate
