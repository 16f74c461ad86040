"""Telling whether somebody was named before, at 20 to 40 bytes a user: 100,000 users must not cost memory.

An open-addressing table over two arrays of 64-bit halves. Object ids are their own 128 bits; other names are digests.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

from revoke_core.domain.identifiers import is_object_id

_FIRST_SIZE: Final = 1 << 10
_HALF: Final = (1 << 64) - 1


class Named:
    """The users named so far, by identity: an object id, or the key of a name nobody could look up."""

    def __init__(self) -> None:
        self._count = 0
        self._high = array("Q", [0]) * _FIRST_SIZE
        self._low = array("Q", [0]) * _FIRST_SIZE

    def __len__(self) -> int:
        return self._count

    def add(self, identity: str) -> bool:
        """Enter an identity; ``False`` when it is there already."""
        if 5 * (self._count + 1) > 4 * len(self._high):
            self._grow()
        number = _number(identity)
        added = self._put(number >> 64, number & _HALF)
        self._count += added
        return added

    def _put(self, high: int, low: int) -> bool:
        mask = len(self._high) - 1
        slot = (high ^ low) & mask
        while self._high[slot] or self._low[slot]:
            if self._high[slot] == high and self._low[slot] == low:
                return False
            slot = (slot + 1) & mask
        self._high[slot], self._low[slot] = high, low
        return True

    def _grow(self) -> None:
        high, low = self._high, self._low
        self._high = array("Q", [0]) * (2 * len(high))
        self._low = array("Q", [0]) * (2 * len(low))
        for first, second in zip(high, low, strict=True):
            if first or second:
                self._put(first, second)


def _number(identity: str) -> int:
    """128 bits of an identity, never 0, which marks an empty slot."""
    if is_object_id(identity):
        return int(identity.replace("-", ""), 16) or 1
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=16).digest(), "big") or 1
