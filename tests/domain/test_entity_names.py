import pytest

from revoke_core.domain.entity_names import EntityName, EntityNameKind, parse_entity_name
from revoke_core.domain.identifiers import names_user, parse_stored_user

SID = "S-1-5-21-1004336348-1177238915-682003330-1104"


@pytest.mark.parametrize("kind", EntityNameKind)
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (SID, SID),
        ("CONTOSO\\svc-backup", "CONTOSO\\svc-backup"),
        ("Adele: Vance", "Adele: Vance"),
        ("Adele\tVance", "Adele Vance"),
        ("half \ud800 a character", "half ? a character"),
        ("x" * 70_000, "x" * 1000),
        ("", ""),
    ],
)
def test_whatever_a_payload_holds_fits_a_list_of_named_users_and_a_row(
    kind: EntityNameKind, given: str, shown: str
) -> None:
    """What it lacks is never taken for a part of its name, and no size and no character is too much for a column."""
    text = EntityName(kind, given, "no id\tand no name").text
    assert parse_entity_name(text) == EntityName(kind, shown, "no id\tand no name")
    assert text.encode().decode() == text
    user = parse_stored_user(text)
    assert user
    assert (user.given, user.named, user.is_id, user.is_invited) == (shown, text, False, False)
    assert not names_user(text)


@pytest.mark.parametrize(
    "text", ["adele@contoso.com", "8f5d1c2e-0000-4000-8000-00000000abcd", "adele", "", "upn:adele@contoso.com", "SID:x"]
)
def test_nothing_else_is_such_a_name(text: str) -> None:
    """An object id and a UPN stay what they are."""
    assert parse_entity_name(text) is None


@pytest.mark.parametrize(
    ("kind", "given", "is_searchable"),
    [
        (EntityNameKind.SID, SID, True),
        (EntityNameKind.SID, SID.lower(), True),
        (EntityNameKind.SID, "S-1-12-1-1943430372-1249052806-2496021943-3034400218", True),
        (EntityNameKind.SID, "S-1-5-x", False),
        (EntityNameKind.SID, "S-1-5-21-" + "1-" * 20 + "1", False),
        (EntityNameKind.SID, f"{SID}' or id ne '", False),
        (EntityNameKind.SID, "CONTOSO-1104", False),
        (EntityNameKind.MAIL, "o'neil+x@contoso.com", True),
        (EntityNameKind.MAIL, "adele at contoso", False),
        (EntityNameKind.MAIL, "a@b c.com", False),
        (EntityNameKind.MAIL, "a" * 65 + "@contoso.com", False),
        (EntityNameKind.MAIL, "a@" + "b" * 256, False),
        (EntityNameKind.UNRESOLVED, SID, False),
    ],
)
def test_only_what_has_the_form_of_its_kind_is_searched_for(
    kind: EntityNameKind, given: str, *, is_searchable: bool
) -> None:
    """Graph would refuse anything else, or match what was never meant."""
    assert EntityName(kind, given).is_searchable is is_searchable
