"""Whether a user was named before, at about 14 bytes a user: 100,000 users must not cost memory.

Of each user a digest of 96 bits is kept, under a key of this process: no caller can name users that are taken for each
other, and by chance that happens to one request of 100,000 users in 10^19. The digests lie one behind the other on
shelves, in bundles that are never enlarged once they are full: a table with free places holds three times its size
while it doubles, and what grows in many small steps leaves half its size in holes that nothing else fits into.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from revoke_core.domain.identifiers import is_object_id

_SHELVES: Final = 512
_BYTES: Final = 12
# With what Python adds to it, the largest piece that its own allocator takes (512 bytes).
_BUNDLE: Final = 39 * _BYTES
_KEY: Final = secrets.token_bytes(32)


class SeenUsers:
    """The users named so far, by identity: an object id, or the key of a name that was not looked up."""

    def __init__(self) -> None:
        self._shelves = [[b""] for _ in range(_SHELVES)]

    def __len__(self) -> int:
        return sum(len(bundle) for shelf in self._shelves for bundle in shelf) // _BYTES

    def add(self, identity: str) -> bool:
        """Enter an identity; ``False`` when it is there already."""
        entry = _entry(identity)
        shelf = self._shelves[int.from_bytes(entry[:2]) % _SHELVES]
        for bundle in shelf:
            if entry in bundle:
                return False
        if len(shelf[-1]) < _BUNDLE:
            shelf[-1] += entry
        else:
            shelf.append(entry)
        return True


def _entry(identity: str) -> bytes:
    canonical = identity.lower() if is_object_id(identity) else identity
    return hashlib.blake2b(canonical.encode(), digest_size=_BYTES, key=_KEY).digest()
