"""Telling whether somebody was named before, at about 18 bytes a user: 100,000 users must not cost memory.

Object ids are their own 128 bits; other names are digests. They lie one behind the other on shelves, in bundles that
are never enlarged once they are full: a table with free places holds three times its size while it doubles, and what
grows in many small steps leaves half its size in holes that nothing else fits into.
"""

from __future__ import annotations

import hashlib
from typing import Final

from revoke_core.domain.identifiers import is_object_id

_SHELVES: Final = 256
_BYTES: Final = 16
_BUNDLE: Final = 32 * _BYTES


class Named:
    """The users named so far, by identity: an object id, or the key of a name nobody could look up."""

    def __init__(self) -> None:
        self._shelves = [[b""] for _ in range(_SHELVES)]

    def __len__(self) -> int:
        return sum(len(bundle) for shelf in self._shelves for bundle in shelf) // _BYTES

    def add(self, identity: str) -> bool:
        """Enter an identity; ``False`` when it is there already."""
        entry = _entry(identity)
        # Salted anew in each process: nobody can name users that all come to lie on one shelf.
        shelf = self._shelves[hash(entry) % _SHELVES]
        for bundle in shelf:
            place = bundle.find(entry)
            # The end of one entry and the start of the next may together look like it.
            while place >= 0 and place % _BYTES:
                place = bundle.find(entry, place + 1)
            if place >= 0:
                return False
        if len(shelf[-1]) < _BUNDLE:
            shelf[-1] += entry
        else:
            shelf.append(entry)
        return True


def _entry(identity: str) -> bytes:
    if is_object_id(identity):
        return bytes.fromhex(identity.replace("-", ""))
    return hashlib.blake2b(identity.encode(), digest_size=_BYTES).digest()
