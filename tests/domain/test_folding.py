import random
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


def test_nobody_is_taken_for_the_end_of_one_and_the_start_of_another() -> None:
    """Users lie one behind the other: bytes that are found across two of them name nobody, and hide nobody either."""
    dice = random.Random(1)  # noqa: S311 -- made-up ids, no secret
    named, new = Named(), bytes.fromhex("8f5d2c7ab1e64d0f9c3a17e2b4860d5e")
    # So many that on each shelf one that ends like its first half is followed by one that begins like its second.
    for _ in range(5_000):
        for other in (dice.randbytes(8) + new[:8], new[8:] + dice.randbytes(8)):
            named.add(str(uuid.UUID(bytes=other)))
    assert named.add(str(uuid.UUID(bytes=new)))
    assert not named.add(str(uuid.UUID(bytes=new)))


def test_a_user_costs_at_most_20_bytes() -> None:
    """At every moment on the way to 100,000, and in small pieces: those that move as they grow leave holes behind."""
    tracemalloc.start()
    try:
        named = Named()
        for size in range(20_000, 100_001, 20_000):
            for number in range(size - 20_000, size):
                named.add(str(uuid.UUID(int=number << 64)))
            assert tracemalloc.get_traced_memory()[1] <= 20 * size
            tracemalloc.reset_peak()
        pieces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, folding.__file__)]).traces
        assert max(piece.size for piece in pieces) <= 4_096
    finally:
        tracemalloc.stop()
