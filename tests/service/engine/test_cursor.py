from hypothesis import given, settings
from hypothesis import strategies as st

from revoke_core.service.engine.cursor import Cursor


def test_a_place_outlives_its_writer() -> None:
    """What it writes down is all that is needed to read on."""
    place = Cursor(source="groups", at=3, advanced=True)
    for number in range(9):
        following = place.followed(f"https://graph.microsoft.com/v1.0/x?$skiptoken={number}")
        assert following is not None
        place = following
        assert Cursor.read(place.text) == place
    assert Cursor.read(Cursor(source="named").text) == Cursor(source="named")


@settings(deadline=None)  # a busy machine is no fault of the rule
@given(lead=st.integers(0, 60), circle=st.integers(1, 60))
def test_every_circle_is_found_before_long(lead: int, circle: int) -> None:
    """Wherever it begins and however long it is, within four times the links there are."""
    place: Cursor | None = Cursor(source="filter")
    for step in range(4 * (lead + circle) + 4):
        number = step if step < lead else lead + (step - lead) % circle
        assert place is not None
        place = place.followed(f"link {number}")
        if place is None:
            assert step >= lead + circle
            return
    raise AssertionError("the circle was not found")


@given(count=st.integers(1, 300))
def test_a_list_without_a_circle_is_read_to_its_end(count: int) -> None:
    """No link of an honest list is taken for an old one."""
    place: Cursor | None = Cursor(source="filter")
    for number in range(count):
        assert place is not None
        place = place.followed(f"link {number}")
    assert place is not None
    assert place.page == count


def test_beginning_again_is_allowed_as_long_as_it_leads_further() -> None:
    """A large list whose tokens expire now and then is read in the end; one that gets nowhere is not."""
    place = Cursor(source="filter")
    for pages in range(1, 20):
        for number in range(pages):
            place = place.followed(f"{pages} {number}") or place
        place = place.restarted()
        assert not place.is_stuck
    for _ in range(2):
        place = place.restarted()
        assert not place.is_stuck
    assert place.restarted().is_stuck
