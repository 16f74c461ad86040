"""What a caller asks for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from revoke_core.domain.named_users import NamedUsers, keys
from revoke_core.domain.seen_users import SeenUsers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.identifiers import UserRef


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """A valid request. ``users`` are in the order named and may name a user twice.

    ``groups`` are object ids of groups whose user members are meant, transitive ones unless ``transitive`` is false;
    ``filter`` is an OData filter over Graph's ``/users``; ``retry_of`` is a request whose failed users are meant.
    ``callback_url`` is told when the request is held and when it has ended.
    ``part_sizes`` is how many named users stand in each part of a stored request; there ``users`` is empty when they
    take more than one part, and ``RequestRows.get_named_users`` reads them.
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
    # Holds a secret more often than not.
    callback_url: str | None = field(default=None, repr=False)
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
        seen = SeenUsers()
        for key in keys(self.users):
            seen.add(key)
        return len(seen)

    @property
    def is_named_only(self) -> bool:
        """Whether the request finds no users through a group or a filter."""
        return not self.groups and self.filter is None

    def must_be_confirmed(self, found: int, *, max_unconfirmed: int, has_unmatched: bool) -> bool:
        """Whether a person has to confirm so many users before one is sent: a named list is its own count.

        ``has_unmatched``: an entry of the protected list or of ``exclude`` matches no user.
        """
        if self.is_named_only or self.dry_run or not found:
            return False
        is_expected = self.expected_users is not None and found <= self.expected_users
        return has_unmatched or not (is_expected or found <= max_unconfirmed)

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
            "callbackUrl": self.callback_url,
        }
        digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode())
        # One by one: 100,000 users must not be in memory twice.
        for key in keys(self.users):
            digest.update(f"\n{key}".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueClaims:
    """What only a queue message may carry beside the request: its idempotency key and its sender's name."""

    idempotency_key: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The operator's limits on one request; ``callback_hosts`` are the hosts that ``callbackUrl`` may name."""

    max_users: int
    require_reason: bool
    callback_hosts: frozenset[str] = frozenset()
