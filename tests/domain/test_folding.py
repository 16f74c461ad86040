import sys
import uuid

from hypothesis import given
from hypothesis import strategies as st

from revoke_core.domain.folding import Named

IDENTITIES = st.uuids().map(str) | st.uuids().map(lambda it: str(it).upper()) | st.text(max_size=30)
# Close together, so that they share slots, and with the value that marks an empty one.
CLOSE = st.integers(0, 400).map(lambda number: str(uuid.UUID(int=number * 1024)))


@given(st.lists(IDENTITIES | CLOSE, max_size=300))
def test_it_tells_what_a_set_would_tell(identities: list[str]) -> None:
    """Ids compare without case, other names as they are; 0 shares the place of 1, which no object id is."""

    def meaning(identity: str) -> object:
        try:
            canonical = str(uuid.UUID(identity)) == identity.lower()
        except ValueError:
            canonical = False
        return max(uuid.UUID(identity).int, 1) if canonical else identity

    named, known = Named(), set()
    for identity in identities:
        is_new = meaning(identity) not in known
        known.add(meaning(identity))
        assert named.add(identity) is is_new
        assert named.add(identity) is False
    assert len(named) == len(known)


def test_it_grows_without_forgetting_anybody() -> None:
    """Through every doubling up to 100,000 users."""
    named = Named()
    identities = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(100_000)]
    assert all(named.add(identity) for identity in identities)
    assert not any(named.add(identity) for identity in identities)
    assert len(named) == 100_000


def test_a_user_costs_at_most_40_bytes() -> None:
    """16 for its place in a table that is at least two fifths full once it has grown: 2 MB for 100,000."""
    named = Named()
    for number in range(1, 100_001):
        named.add(str(uuid.UUID(int=number)))
        if number >= 1_000 and number % 500 == 0:
            size = sys.getsizeof(named._high) + sys.getsizeof(named._low)
            assert size <= 40 * number
