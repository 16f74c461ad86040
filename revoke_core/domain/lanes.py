"""Lanes of the shared write rate: one caller's flood, or one large request, must not keep others from being sent."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# Open requests of one caller that count as its share.
SHARE: Final = 20


class Lane(StrEnum):
    """How far down a request may draw the shared bucket.

    - ``SMALL``: a small request of a caller within its share draws the last token.
    - ``BEYOND_SHARE``: a small request of a caller that has more open leaves half of the reserve.
    - ``LARGE``: every other request leaves the whole reserve.
    """

    SMALL = "small"
    BEYOND_SHARE = "beyondShare"
    LARGE = "large"

    def reserve_left(self, reserve: int) -> int:
        """The tokens that requests of this lane leave for the lanes above."""
        if self is Lane.SMALL:
            return 0
        return (reserve + 1) // 2 if self is Lane.BEYOND_SHARE else reserve
