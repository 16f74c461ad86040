"""The write rate that all instances share: a token bucket by Graph's published quota, which learns from each 429.

Every revoke costs a token. The bucket holds one quota (3,000 writes per 150 s and app and tenant,
https://learn.microsoft.com/graph/throttling-limits) and refills evenly, so work starts with a burst and goes on at the
refill rate. Which shape the real limit has is not published, so what a 429 means depends on when it comes:

- after less than a twentieth of the quota in about one period: our own use cannot explain it. A hiccup of the service,
  or the load of other apps, has refused the call; that says nothing about the quota. Its gate is kept all the same.
- the first one since the bucket was full: the assumption that it was full was wrong. Only the bucket is emptied.
- the bucket was used up as planned, or a quota was spent since it was full, and the pause is long: a counting window
  has ended. The rate was right, and the next window fills while the gate is closed.
- anything else: the limit is lower than believed. The rate is cut and regains slowly.

Large requests do not race for what refills. One conditional write books a block ahead, behind all that were booked
before: a place in a line, which the row keeps as two numbers, how much was served and how much is queued. What refills
goes to the reserve first, then to the line, and each instance works out from the row when its own place is due. So it
comes back only when its block is spent, and hardly ever at the same moment as another. Small requests draw the reserve
and pass the line. ``tests/support/rivals_simulation.py`` plays up to 40 instances.

What was learnt also fades with time, however little is sent: 15 minutes after the last 429 the rate is whole.

``tests/support/pace_simulation.py`` plays six kinds of servers against these rules; the constants were tuned with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from revoke_core.domain.lanes import Lane

PERIOD: Final = timedelta(seconds=150)
# Large requests leave the last tokens to small ones, and a caller's flood of these leaves some to other callers.
MOST_RESERVED: Final = 100
RESERVED_SHARE: Final = 10
# A block is what one storage write takes: three seconds of the full rate.
BLOCKS_PER_QUOTA: Final = 50
# A bucket below this part of the quota counts as used up.
LOW_SHARE: Final = 10
# So much of a quota spent since the bucket was full: a counting window may be over now, however much has refilled.
SPENT_SHARE: Final = 0.93
# After less than this part of the quota a 429 is not explained by our own use.
EXPLAINED_SHARE: Final = 0.05
# A pause in which more than a tenth of the quota would refill comes from a counting window, not from a bucket.
LONG_PAUSE: Final = PERIOD / 10
# A gate that is closed for longer is tried with one item at this interval.
PROBE_EVERY: Final = timedelta(minutes=10)
# The answers of one burst name the same end, apart from their time on the network.
SAME_GATE: Final = timedelta(seconds=1)
CUT: Final = 0.85
REGAIN_PER_ITEM: Final = 4e-5
# Under load the next 429 comes sooner than this, so that only volume tries a higher rate there. The longest pause that
# counts (one period), the wait and the fading together stay below 15 minutes.
FADE_AFTER: Final = timedelta(minutes=5)
FADES_FOR: Final = timedelta(minutes=7)
FLOOR_PER_SECOND: Final = 1.0
QUICK_WINDOW: Final = 4
QUICK_WINDOW_OF_LARGE: Final = 3
BATCHES_PER_STEP: Final = 40
LARGEST_WINDOW: Final = 8
CAREFUL_BATCHES: Final = 20
# What is due and idle for so long has refilled.
_LATE: Final = timedelta(seconds=10)
# Positions in the line are sums of fractions.
_ROUNDING: Final = 1e-6
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The bucket at one moment; ``at`` may lie ahead while a gate keeps it from filling.

    ``share`` is the part of the full rate that is believed now. A 429 for a call sent before ``quiet_until`` changes
    nothing: the rate has learnt from that gate already. ``assumed`` is true until a 429 shows how full the bucket was.
    ``spent`` are the tokens taken since the bucket was full, or since a window began. ``used`` are the items answered
    within about one period, refused ones too: older ones count ever less.

    The line of large requests: ``queued`` tokens are booked and not yet due. What refills above the reserve makes the
    first of them due; ``served`` counts all that ever were, and so it is the position that is due now. Positions up to
    ``voided`` were due when a 429 came and are worth nothing.
    """

    quota: int
    tokens: float
    at: datetime
    quiet_until: datetime
    share: float = 1.0
    assumed: bool = True
    spent: float = 0.0
    used: float = 0.0
    served: float = 0.0
    queued: float = 0.0
    voided: float = 0.0

    @classmethod
    def start(cls, quota: int, now: datetime) -> Pace:
        """A full bucket, for an app that has not written yet."""
        return cls(quota=quota, tokens=quota, at=now, quiet_until=_LONG_AGO)

    @property
    def rate(self) -> float:
        """Tokens per second."""
        full = self.quota / PERIOD.total_seconds()
        return max(full * self.share, min(FLOOR_PER_SECOND, full))

    @property
    def reserve(self) -> int:
        """Tokens that large requests leave to small ones (``Lane.reserve_left``)."""
        return min(MOST_RESERVED, self.quota // RESERVED_SHARE)

    @property
    def block(self) -> int:
        """Tokens that one write takes or books for a large request."""
        return max(1, self.quota // BLOCKS_PER_QUOTA)

    def on(self, now: datetime) -> Pace:
        """The bucket filled up to now, and a cut rate faded; an earlier moment changes nothing."""
        elapsed = (now - self.at).total_seconds()
        if elapsed <= 0:
            return self
        fading = max(0.0, (now - max(self.at, self.quiet_until + FADE_AFTER)).total_seconds())
        faded = replace(self, share=min(1.0, self.share + fading / FADES_FOR.total_seconds()))
        # While the rate rose, half of the rise has refilled.
        refilled = elapsed * self.rate + fading * (faded.rate - self.rate) / 2
        used = self.used * math.exp(-elapsed / PERIOD.total_seconds())
        filled = _serve_line(replace(faded, tokens=self.tokens + refilled, at=now, used=used))
        if filled.tokens < self.quota:
            return filled
        return replace(filled, tokens=float(self.quota), assumed=True, spent=0.0)

    def most_calls(self, call_seconds: float, size: int) -> int:
        """How many calls of ``size`` items may be in flight: few once a counting window may be over.

        When Graph refuses one of them it refuses all. Then no more are in flight than the rate needs while one call
        takes ``call_seconds``; before, the bucket alone decides.
        """
        if self.spent < self.quota * SPENT_SHARE:
            return LARGEST_WINDOW
        return min(LARGEST_WINDOW, 1 + int(self.rate * max(call_seconds, 0.0) / size))

    def take(self, wanted: int, now: datetime, *, lane: Lane) -> tuple[Block, Pace]:
        """What one storage write takes, an empty block when there is nothing worth it, and the bucket without that.

        While the bucket allows it is a whole block, so more than wanted; from the reserve only what is wanted. When the
        bucket is low a large request books a block, which is due once all that were booked before have become so.
        """
        filled = self.on(now)
        if now < filled.quiet_until:
            return Block(), filled
        free = int(filled.tokens) - self.reserve
        if free >= self.block:
            granted = min(free, max(wanted, self.block))
        elif lane is not Lane.LARGE:
            granted = min(max(int(filled.tokens) - lane.reserve_left(self.reserve), 0), wanted)
        elif filled.queued or free >= min(wanted, self.block):
            first = filled.served + filled.queued
            line = replace(filled, queued=filled.queued + self.block)
            return Block(first=first, end=first + self.block), _serve_line(line)
        else:
            # Where there is no line, the write that books pays the first call, too.
            return Block(), filled
        return Block(tokens=granted), replace(filled, tokens=filled.tokens - granted, spent=filled.spent + granted)

    def give_back(self, tokens: int) -> Pace:
        """The bucket with tokens of calls that never left."""
        return replace(self, tokens=min(float(self.quota), self.tokens + tokens))

    def next_at(self, wanted: int, *, lane: Lane) -> datetime:
        """When ``take`` will give something worth the write; a place in a line can be booked at once."""
        if lane is Lane.LARGE and self.queued:
            return self.quiet_until
        missing = lane.reserve_left(self.reserve) + min(wanted, self.block) - self.tokens
        # Besides a gate, only another host's clock may put ``at`` ahead: the tokens left there can be taken now.
        return self._after(missing) if missing > 0 else self.quiet_until

    def due_at(self, position: float) -> datetime:
        """When a booked position of the line is due: small requests may fill up the reserve before."""
        if position <= self.served:
            return self.quiet_until
        return self._after(max(0.0, self.reserve - self.tokens) + position - self.served)

    def _after(self, tokens: float) -> datetime:
        return self.at + timedelta(milliseconds=math.ceil(1000 * tokens / self.rate))

    def refilled_since(self, position: float) -> float:
        """Tokens that have refilled above the reserve since a position of the line was due, and are still there."""
        return self.served - position + max(0.0, self.tokens - self.reserve)

    def seconds_for(self, tokens: int) -> float:
        """About how long a large request of so many tokens takes from ``at`` on, behind those in the line."""
        return max(0.0, tokens + self.queued - (self.tokens - self.reserve)) / self.rate

    def regain(self, items: int) -> Pace:
        """What so many items without a 429 give back of a cut rate."""
        return replace(self, share=min(1.0, self.share + items * REGAIN_PER_ITEM))

    def sent(self, items: int) -> Pace:
        """So many items were answered, whatever the answer: use that may explain a 429."""
        return replace(self, used=self.used + items)

    def throttled(self, *, sent_at: datetime, now: datetime, pause: timedelta) -> Pace:
        """What a 429 with this ``Retry-After`` teaches about a call sent then; ``self`` when nothing.

        Of the tokens that refill while the gate is closed the reserve is kept, and after a window all of them.
        A bucket is full again after one period, so a longer pause concerns the gate alone.
        """
        pause = min(pause, PERIOD)
        end = now + pause
        if sent_at < self.quiet_until:
            return replace(self, at=end, quiet_until=end) if end - self.quiet_until > SAME_GATE else self
        if self.used < self.quota * self.share * EXPLAINED_SHARE:
            return self
        used_up = self.tokens < self.reserve + self.quota / LOW_SHARE or self.spent >= self.quota * SPENT_SHARE
        window = used_up and pause >= LONG_PAUSE
        lowest = min(1.0, FLOOR_PER_SECOND * PERIOD.total_seconds() / self.quota)
        share = self.share if window or self.assumed else max(lowest, self.share * CUT)
        learnt = replace(self, share=share, at=end, quiet_until=end, assumed=False, spent=0.0, voided=self.served)
        refilled = pause.total_seconds() * learnt.rate
        if window:
            return replace(learnt, tokens=min(float(self.quota), max(0.0, self.tokens) + refilled))
        return replace(learnt, tokens=min(float(self.reserve), refilled))


def _serve_line(pace: Pace) -> Pace:
    """The bucket once the tokens above the reserve have made the first of the line due."""
    due = min(pace.queued, max(0.0, pace.tokens - pace.reserve))
    return replace(
        pace,
        tokens=pace.tokens - due,
        spent=pace.spent + due,
        served=pace.served + due,
        queued=pace.queued - due,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one instance has taken and not yet spent, so that most calls ask no storage.

    ``tokens`` can be spent at once. ``first`` to ``end`` are positions of the line: those that are due can be spent.
    """

    tokens: int = 0
    first: float = 0.0
    end: float = 0.0

    @property
    def left(self) -> int:
        """All tokens, due or not."""
        return self.tokens + int(self.end - self.first + _ROUNDING)

    def more(self, other: Block) -> Block:
        """Both together; at most one of them has a place in the line."""
        place = other if other.end > other.first else self
        return replace(place, tokens=self.tokens + other.tokens)

    def still_valid(self, pace: Pace, *, used_at: datetime, is_idle: bool) -> Block:
        """What is left of it when it was used last at ``used_at``, with the bucket filled up to now.

        No token is given while a gate is closed, so one that was there before its end is from before the gate.
        """
        tokens = 0 if is_idle or used_at < pace.quiet_until else self.tokens
        is_late = is_idle and pace.refilled_since(self.end) > pace.rate * _LATE.total_seconds()
        first = self.end if is_late else min(self.end, max(self.first, pace.voided))
        return replace(self, tokens=tokens, first=first)

    def due(self, pace: Pace) -> int:
        """The tokens that can be spent now, with the bucket filled up to now."""
        return self.tokens + max(0, int(min(self.end, pace.served) - self.first + _ROUNDING))

    def next_at(self, wanted: int, pace: Pace) -> datetime:
        """When a large request can spend ``wanted`` or all that is left."""
        lacking = min(wanted, self.left) - self.tokens
        return pace.due_at(self.first + lacking - _ROUNDING) if lacking > 0 else pace.quiet_until

    def spend(self, wanted: int, pace: Pace, *, lane: Lane) -> tuple[int, Block]:
        """Up to ``wanted`` tokens and the rest; a large request waits until it gets as many as are left for it."""
        due = self.due(pace)
        if due < min(wanted, self.left) and lane is Lane.LARGE:
            return 0, self
        given = min(wanted, due)
        ready = min(given, self.tokens)
        return given, replace(self, tokens=self.tokens - ready, first=self.first + given - ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """How many batches of one request may be in flight at once: few until Graph has shown that it accepts more.

    When Graph refuses one, it refuses all in flight; so the size grows with the batches that it accepted.
    """

    size: int = 1
    clean: int = 0
    quick: int = QUICK_WINDOW
    careful: int = 0

    @classmethod
    def of(cls, items: int, quota: int) -> ConcurrencyLimit:
        """For a request of so many items: one larger than the bucket ends no sooner for spending it quickly."""
        return cls(quick=QUICK_WINDOW if items <= quota else QUICK_WINDOW_OF_LARGE)

    def after_clean(self) -> ConcurrencyLimit:
        """After a batch without a 429: doubled at first, then one more for every 40 batches, up to eight."""
        if self.careful:
            return replace(self, careful=self.careful - 1)
        if self.size < self.quick:
            return replace(self, size=min(self.quick, self.size * 2))
        if self.size == LARGEST_WINDOW:
            return self
        if self.clean + 1 < BATCHES_PER_STEP:
            return replace(self, clean=self.clean + 1)
        return replace(self, size=self.size + 1, clean=0)

    def after_throttled(self) -> ConcurrencyLimit:
        """After a 429: one at a time, for 20 batches, because a 429 that taught nothing leaves the bucket as it was."""
        return ConcurrencyLimit(quick=self.quick, careful=CAREFUL_BATCHES)
