from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.graph.identity import GraphIdentity
from revoke_core.adapters.graph.paths import (
    cut_off_audits_path,
    matching_path,
    members_path,
    read_path,
    revoke_path,
    search_path,
    sign_ins_path,
)
from revoke_core.adapters.graph.transport import GraphTransport
from revoke_core.domain.entity_names import EntityName, EntityNameKind
from revoke_core.domain.identifiers import entity_user, parse_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from revoke_core.domain.identifiers import UserRef

GROUP = "8f5d1c2e-0000-4000-8000-00000000abcd"


def test_members_are_asked_for_without_a_type_cast() -> None:
    """A cast would need the eventually consistent index, in which a member just added may be missing."""
    listed = "?$select=id,userPrincipalName,visibility&$top=999"
    assert members_path(GROUP) == f"/groups/{GROUP}/transitiveMembers{listed}"
    assert members_path(GROUP, transitive=False) == f"/groups/{GROUP}/members{listed}"


def test_a_filter_is_percent_encoded_as_a_whole() -> None:
    """Nothing in it can end the value and begin another parameter."""
    path = matching_path("displayName eq 'O''Brien & Söhne #1+2' /?%")
    value = "displayName%20eq%20%27O%27%27Brien%20%26%20S%C3%B6hne%20%231%2B2%27%20%2F%3F%25"
    assert path == f"/users?$filter={value}&$select=id,userPrincipalName&$top=999"
    assert matching_path("x", advanced=True).endswith("&$count=true")
    assert matching_path("x", probe=True) == "/users?$filter=x&$select=id&$top=1"


def test_a_search_shows_what_planning_reads_of_a_user() -> None:
    """Who is found need not be read again."""
    path = search_path("mail eq 'o''neil+x@contoso.com'")
    assert path.startswith(
        "/users?$filter=mail%20eq%20%27o%27%27neil%2Bx%40contoso.com%27&$select=id,userPrincipalName"
    )
    assert path.endswith("signInSessionsValidFromDateTime&$top=999")
    assert search_path("x", advanced=True) == search_path("x") + "&$count=true"


@pytest.mark.parametrize("path", [read_path, revoke_path])
@pytest.mark.parametrize("kind", EntityNameKind)
def test_a_name_that_has_to_be_searched_for_has_no_path(kind: EntityNameKind, path: Callable[[UserRef], str]) -> None:
    """A mail address looks like a UPN, and would reach another person under it."""
    with pytest.raises(ValueError, match="no path"):
        path(entity_user(EntityName(kind, "adele@contoso.com")))


def test_the_logs_are_asked_with_filters_that_are_documented() -> None:
    """Whole seconds, encoded as a whole, an apostrophe in a name doubled."""
    since = datetime(2026, 9, 10, 14, 32, 27, 459_000, tzinfo=UTC)
    audits = parse_qs(urlsplit(cut_off_audits_path(since, since + timedelta(minutes=1))).query)
    (text,) = audits["$filter"]
    assert text == (
        "activityDateTime ge 2026-09-10T14:32:27Z and activityDateTime le 2026-09-10T14:33:28Z "
        "and startswith(activityDisplayName,'Update StsRefreshTokenValidFrom Timestamp')"
    )
    users = [user for name in (GROUP, "conor.o'neil@contoso.com") if (user := parse_user(name))]
    path = sign_ins_path(users, since)
    (text,) = parse_qs(urlsplit(path).query)["$filter"]
    assert text == (
        f"createdDateTime ge 2026-09-10T14:32:27Z and (userId eq '{GROUP}' "
        "or userPrincipalName eq 'conor.o''neil@contoso.com')"
    )
    assert path.count("&") == 0


@pytest.mark.parametrize(
    "link",
    [
        "http://[::1/v1.0/users",
        "https://graph.microsoft.com/v1.0/users?a b",
        "https://graph.microsoft.com/v1.0/users?\n",
        "https://graph.microsoft.com/v1.0/users?ä",
        "https://graph.microsoft.com@evil.example/v1.0/users",
        "https://graph.microsoft.com/v1.0/" + "x" * 30_000,
        "",
    ],
)
def test_a_link_that_is_no_url_is_not_followed(link: str) -> None:
    """A damaged answer is no reason to crash, nor to go somewhere else."""
    clock = SystemClock()
    identity = GraphIdentity(client_id=None, resource="https://graph.microsoft.com", clock=clock)
    assert GraphTransport(endpoint="https://graph.microsoft.com", identity=identity, clock=clock).relative(link) is None
