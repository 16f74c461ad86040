"""What a caller asks for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revoke_core.domain.folding import Named
from revoke_core.domain.named_users import NamedUsers, keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.identifiers import UserRef


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """A valid request. ``users`` are in the order named and may still name somebody twice.

    ``groups`` are object ids of groups whose user members are meant, transitive ones unless ``transitive`` is false;
    ``filter`` is an OData filter over Graph's ``/users``; ``retry_of`` is a request whose failed users are meant.
    ``part_sizes`` is how many named users stand in each part of a stored request; there ``users`` is empty when they
    take more than one part, and ``StatusLog.named_users`` reads them.
    """

    users: Sequence[UserRef] = NamedUsers()
    groups: tuple[str, ...] = ()
    transitive: bool = True
    filter: str | None = None
    retry_of: str | None = None
    exclude: tuple[UserRef, ...] = ()
    reason: str | None = None
    expected_users: int | None = None
    dry_run: bool = False
    verify: bool = True
    part_sizes: tuple[int, ...] = field(default=(), compare=False)

    @property
    def named_parts(self) -> int:
        """In how many parts the named users are stored; 0 for a request that was not read from storage."""
        return len(self.part_sizes)

    @property
    def named(self) -> int:
        """How many users are named, repetitions included, wherever they stand."""
        return len(self.users) or sum(self.part_sizes)

    def distinct(self) -> int:
        """How many of ``users`` are left once textual repetitions are folded."""
        named = Named()
        for key in keys(self.users):
            named.add(key)
        return len(named)

    def must_be_confirmed(self, found: int, *, max_unconfirmed: int) -> bool:
        """Whether somebody has to say yes to so many users before one is sent: a named list is its own count."""
        is_named_only = not self.groups and self.filter is None
        is_expected = self.expected_users is not None and found <= self.expected_users
        return not (is_named_only or self.dry_run or is_expected or found <= max_unconfirmed)

    def digest(self) -> str:
        """SHA-256 over the meaning of the request, so that spacing and key order do not matter."""
        meaning = {
            "groups": sorted(self.groups),
            "transitive": self.transitive,
            "filter": self.filter,
            "retryOf": self.retry_of,
            "exclude": sorted(keys(self.exclude)),
            "reason": self.reason,
            "expectedUsers": self.expected_users,
            "dryRun": self.dry_run,
            "verify": self.verify,
        }
        digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode())
        # One by one: 100,000 users must not stand in memory once more.
        for key in keys(self.users):
            digest.update(f"\n{key}".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueClaims:
    """What only a queue message may carry beside the request: its own key, and who it says sent it."""

    idempotency_key: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's limits on one request."""

    max_users: int
    require_reason: bool
