from collections.abc import AsyncIterator

import pytest
from outages import House, house
from steps import JumpingClock


@pytest.fixture
def clock() -> JumpingClock:
    """The clock of the app ``whole``."""
    return JumpingClock()


@pytest.fixture
async def whole(azurite: str, clock: JumpingClock) -> AsyncIterator[House]:
    """A whole app that a test can cut off from its storage."""
    async with house(azurite, clock=clock) as made:
        yield made


@pytest.fixture
async def strict(azurite: str) -> AsyncIterator[House]:
    """As ``whole``; every request that finds users is held."""
    async with house(azurite, MAX_UNCONFIRMED_USERS="1") as made:
        yield made
