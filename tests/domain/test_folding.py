import tracemalloc
import uuid

from hypothesis import given
from hypothesis import strategies as st

from revoke_core.domain import folding
from revoke_core.domain.folding import Named

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

    named, known = Named(), set()
    for identity in identities:
        is_new = meaning(identity) not in known
        known.add(meaning(identity))
        assert named.add(identity) is is_new
        assert named.add(identity) is False
    assert len(named) == len(known)


def test_it_grows_without_forgetting_anybody() -> None:
    """Through every size up to 100,000 users."""
    named = Named()
    identities = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(100_000)]
    assert all(named.add(identity) for identity in identities)
    assert not any(named.add(identity) for identity in identities)
    assert len(named) == 100_000


def test_a_user_costs_at_most_16_bytes() -> None:
    """At every moment on the way to 100,000, and in small pieces: those that move as they grow leave holes behind."""
    tracemalloc.start()
    try:
        named = Named()
        for size in range(20_000, 100_001, 20_000):
            for number in range(size - 20_000, size):
                named.add(str(uuid.UUID(int=number << 64)))
            assert tracemalloc.get_traced_memory()[1] <= 16 * size
            tracemalloc.reset_peak()
        pieces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, folding.__file__)]).traces
        assert max(piece.size for piece in pieces) <= 5_000
    finally:
        tracemalloc.stop()
