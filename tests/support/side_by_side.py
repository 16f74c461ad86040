"""What `make test` runs side by side: tests that share something stay together, and what takes longest begins first."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# Folders whose files share a package, a host or an app that is costly to make: one worker makes it.
TOGETHER = ("entra", "host", "package")
# Tests that wait for long and share nothing.
BY_THEMSELVES = (
    "chaos/test_campaign.py::test_a_slice_of_the_campaign_keeps_every_promise",
    "e2e/test_bulk.py::test_a_very_long_list_is_accepted_at_once_and_can_be_cancelled",
    "e2e/test_hosts.py::test_a_paused_app_accepts_plans_and_waits_and_a_stopped_one_hands_on",
)
# What would keep everybody waiting at the end, were it not begun first.
LONGEST = (
    "e2e/test_bulk.py",
    BY_THEMSELVES[2],
    "package",
    BY_THEMSELVES[0],
    "e2e/test_graph_troubles.py",
    "e2e/test_hosts.py",
    "e2e/test_outages.py",
    "e2e/test_crash.py",
    BY_THEMSELVES[1],
    "e2e/test_controls.py",
    "e2e/test_groups.py",
    "host",
    "infra/test_infra_sources.py",
    "service/upkeep/test_retention.py",
    "entra",
)


def group_of(test: str) -> str:
    """What runs on one worker, in order: the test itself, its folder, or its file."""
    name = test.removeprefix("tests/")
    if name in BY_THEMSELVES:
        return name
    file = name.split("::")[0]
    folder = file.split("/")[0]
    return folder if folder in TOGETHER else file


def place_of(test: str) -> int:
    """When its group begins; what is not named begins last, in the order of the files."""
    group = group_of(test)
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


class Groups(LoadScopeScheduling):
    """Hands whole groups to the workers, in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
