import tracemalloc
import uuid

from hypothesis import given
from hypothesis import strategies as st

from revoke_core.domain import seen_users
from revoke_core.domain.seen_users import SeenUsers

IDENTITIES = st.uuids().map(str) | st.uuids().map(lambda it: str(it).upper()) | st.text(max_size=30)
# Close together, so that they are alike in most of their bytes.
CLOSE = st.integers(0, 400).map(lambda number: str(uuid.UUID(int=number * 1024)))


@given(st.lists(IDENTITIES | CLOSE, max_size=300))
def test_it_tells_what_a_set_would_tell(identities: list[str]) -> None:
    """Ids compare without case, other names as they are."""

    def meaning(identity: str) -> object:
        try:
            canonical = str(uuid.UUID(identity)) == identity.lower()
        except ValueError:
            canonical = False
        return uuid.UUID(identity).int if canonical else identity

    seen, known = SeenUsers(), set()
    for identity in identities:
        is_new = meaning(identity) not in known
        known.add(meaning(identity))
        assert seen.add(identity) is is_new
        assert seen.add(identity) is False
    assert len(seen) == len(known)


def test_it_grows_without_forgetting_a_user() -> None:
    """Through every size up to 100,000 users."""
    seen = SeenUsers()
    identities = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(100_000)]
    assert all(seen.add(identity) for identity in identities)
    assert not any(seen.add(identity) for identity in identities)
    assert len(seen) == 100_000


def test_a_user_costs_at_most_16_bytes() -> None:
    """At every moment on the way to 100,000, and in small pieces: those that move as they grow leave holes behind."""
    tracemalloc.start()
    try:
        seen = SeenUsers()
        for size in range(20_000, 100_001, 20_000):
            for number in range(size - 20_000, size):
                seen.add(str(uuid.UUID(int=number << 64)))
            assert tracemalloc.get_traced_memory()[1] <= 16 * size
            tracemalloc.reset_peak()
        pieces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, seen_users.__file__)]).traces
        assert max(piece.size for piece in pieces) <= 5_000
    finally:
        tracemalloc.stop()
