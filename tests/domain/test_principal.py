import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from principals import CLIENT, MAPPED, NAME, ROLE, SUBJECT, app_claims, claim, content, encoded, person_claims

from revoke_core.domain.errors import CallerUnknown
from revoke_core.domain.principal import LONGEST_HEADER, Principal, read_principal

OID = "8f5d1c2e-0000-4000-8000-00000000000a"
OTHER = "8f5d1c2e-0000-4000-8000-00000000000b"


def read(claims: list[dict[str, Any]], /, **members: Any) -> Principal:
    return read_principal(encoded(content(claims, **members)))


def test_a_person_is_known_by_object_id_name_and_client() -> None:
    """What the status log keeps of a caller, and what its roles are."""
    found = read(person_claims(OID.upper(), "Revocations.Submit", "Revocations.Read"))
    assert found == Principal(
        object_id=OID,
        name="adele@contoso.com",
        app_id=CLIENT,
        roles=frozenset({"Revocations.Submit", "Revocations.Read"}),
        is_user=True,
    )


def test_an_application_has_roles_and_no_name() -> None:
    """A managed identity calls as itself."""
    found = read(app_claims(OID, "Revocations.Submit"))
    assert (found.object_id, found.name, found.app_id, found.is_user) == (OID, None, CLIENT, False)
    assert found.roles == {"Revocations.Submit"}


@pytest.mark.parametrize("kind", [f"{MAPPED}objectidentifier", "oid"])
def test_the_object_id_has_a_long_and_a_short_name(kind: str) -> None:
    """With the default claim mapping and without."""
    assert read([claim(kind, OID)]).object_id == OID


@pytest.mark.parametrize(("kind", "role_typ"), [("roles", ""), (ROLE, "roles"), ("custom", "custom"), ("roles", None)])
def test_roles_are_found_under_each_of_their_names(kind: str, role_typ: str | None) -> None:
    """The type the provider names, and the two that Entra uses."""
    assert read([claim("oid", OID), claim(kind, "Revocations.Read")], role_typ=role_typ).roles == {"Revocations.Read"}


@pytest.mark.parametrize("kind", ["groups", "wids", "role", "Roles", "scp", ""])
def test_other_claims_are_no_roles(kind: str) -> None:
    """Neither a group of that name nor a scope gives a role, nor a claim without a name where none is named."""
    assert read([claim("oid", OID), claim(kind, "Revocations.Read")], role_typ="").roles == frozenset()


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([claim(NAME, "first"), claim("name", "second")], "first"),
        ([claim("preferred_username", "adele@contoso.com")], "adele@contoso.com"),
        ([claim("name", "Root Admin"), claim("preferred_username", "adele@contoso.com")], "adele@contoso.com"),
        ([claim(NAME, "Root Admin"), claim("upn", "adele@contoso.com")], "adele@contoso.com"),
        ([claim("name", "  "), claim(NAME, "Adele")], "Adele"),
        ([claim(NAME, "Adele\r\n\x1b[31mVance\ud800\u202e")], "Adele[31mVance"),
        ([claim(NAME, "x" * 500)], "x" * 200),
        ([], None),
    ],
)
def test_a_name_is_fit_for_a_log_and_a_table(claims: list[dict[str, Any]], expected: str | None) -> None:
    """The user name that the tenant gives before one that people choose; no control characters, at most 200."""
    assert read([claim("oid", OID), *claims]).name == expected


def test_a_claim_of_the_provider_s_choice_is_no_better_name() -> None:
    """It may be a display name, which people can often change themselves."""
    claims = [claim("oid", OID), claim("nickname", "Root Admin"), claim("upn", "adele@contoso.com")]
    assert read(claims, name_typ="nickname").name == "adele@contoso.com"
    assert read(claims[:2], name_typ="nickname").name == "Root Admin"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([claim("scp", "user_impersonation")], True),
        ([claim("preferred_username", "adele@contoso.com")], True),
        ([claim("idtyp", "user"), claim("scp", "x")], True),
        ([claim("idtyp", "app"), claim("scp", "x"), claim("upn", "adele@contoso.com")], False),
        ([claim("idtyp", "device"), claim("scp", "x")], False),
        ([claim("idtyp", "user"), claim("idtyp", "app"), claim("scp", "x")], False),
        ([claim(SUBJECT, OID), claim("scp", "x")], False),
        ([claim("sub", OID.upper()), claim("scp", "x")], False),
        ([claim("scp", "")], False),
        ([claim(NAME, "An app's display name")], False),
        ([], False),
    ],
)
def test_a_person_is_told_from_an_application(claims: list[dict[str, Any]], expected: bool) -> None:
    """``idtyp`` decides where there is one; else the subject, a scope or a user name; in doubt it is no person."""
    assert read([claim("oid", OID), *claims]).is_user is expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "not base64!",
        encoded(content(person_claims(OID))).rstrip("=") + "=A",
        encoded(content(person_claims(OID))) + "," + encoded(content(person_claims(OTHER))),
        " " + encoded(content(person_claims(OID))),
        base64.b64encode(b"\xff\xfe{}").decode(),
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"[" * 15_000).decode(),
        base64.b64encode(b"1" * 10_000).decode(),
        base64.b64encode(
            json.dumps(content(person_claims(OID))).replace("{", '{"auth_typ": "aad", ', 1).encode()
        ).decode(),
        encoded(None),
        encoded([content(person_claims(OID))]),
        encoded("aad"),
        encoded({"auth_typ": "aad"}),
        encoded(content(person_claims(OID), claims={"oid": OID})),
        encoded(content(person_claims(OID), claims=None)),
        encoded(content([claim("oid", 5)])),
        encoded(content([{"typ": "oid"}])),
        encoded(content([{"TYP": "oid", "VAL": OID}])),
        encoded(content([*person_claims(OID), "roles"])),
        encoded(content(person_claims(OID), role_typ=["roles"])),
        encoded(content(person_claims(OID), name_typ=5)),
        encoded(content([*person_claims(OID), claim("x", "y" * LONGEST_HEADER)])),
    ],
)
def test_a_header_not_exactly_of_the_form_is_refused(header: str | None) -> None:
    """Missing, doubled, oversized, damaged, of wrong types: 401 with a challenge, and never a fault of the app."""
    with pytest.raises(CallerUnknown) as refused:
        read_principal(header)
    assert (refused.value.status, refused.value.challenge) == (401, "Bearer")
    assert refused.value.__cause__ is None
    assert OID not in str(refused.value)


@pytest.mark.parametrize("provider", ["AAD", "google", "github", "apple", "", None, True, ["aad"], {"aad": 1}])
def test_only_entra_is_believed(provider: Any) -> None:
    """Another identity provider's object ids name no caller here."""
    with pytest.raises(CallerUnknown):
        read(person_claims(OID, "Revocations.Submit"), auth_typ=provider)


@pytest.mark.parametrize(
    "claims",
    [
        [],
        [claim("sub", OID)],
        [claim("OID", OID)],
        [claim("oid", "")],
        [claim("oid", "adele@contoso.com")],
        [claim("oid", f" {OID}")],
        [claim("oid", OID), claim("oid", OTHER)],
        [claim("oid", OID), claim(f"{MAPPED}objectidentifier", OTHER)],
        [claim("oid", OID), claim("appid", CLIENT), claim("azp", OTHER)],
        [claim("oid", OID), claim("appid", "me")],
    ],
)
def test_a_caller_without_one_object_id_is_refused(claims: list[dict[str, Any]]) -> None:
    """No id, something else in its place, or two that differ."""
    with pytest.raises(CallerUnknown):
        read([*claims, claim("roles", "Revocations.Submit")])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["oid", f"{MAPPED}objectidentifier", "roles", "appid", NAME, "scp", "idtyp", "sub"])
VALUES = st.sampled_from([OID, OTHER, "Revocations.Read", "aad", ""]) | JSON
CLAIMS = st.lists(st.fixed_dictionaries({"typ": KINDS | JSON, "val": VALUES}) | JSON, max_size=6) | JSON
CONTENT = st.fixed_dictionaries(
    {"auth_typ": st.just("aad") | JSON, "claims": CLAIMS}, optional={"role_typ": KINDS | JSON, "name_typ": KINDS | JSON}
)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()) | (CONTENT | JSON).map(encoded))
def test_nothing_but_a_principal_or_a_refusal_comes_out(header: str) -> None:
    """Whatever is sent: a caller with a well-formed id, or ``CallerUnknown``."""
    try:
        found = read_principal(header)
    except CallerUnknown:
        return
    assert found.object_id in (OID, OTHER)
    assert found.app_id in (None, OID, OTHER)
    assert found.name is None or (found.name.isprintable() and found.name.encode())
