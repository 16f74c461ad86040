"""What is in every tenant: one table of people, one of groups, named as the documents quote them."""

from typing import Any, NamedTuple

from local.tenant.directory import Directory, Group, Thing, User, object_id


class Person(NamedTuple):
    """A seeded user: UPN, display name, department, and what else differs from an ordinary member."""

    upn: str
    name: str
    department: str | None = None
    traits: dict[str, Any] = {}  # noqa: RUF012 - a default that is never changed


INVITED = {"creation_type": "Invitation", "external_user_state": "Accepted"}

PEOPLE = (
    Person("adele@contoso.com", "Adele Vance", "HP"),
    Person("bob@contoso.com", "Bob Kelly", "HP"),
    Person("carol@contoso.com", "Carol Poland", "Finance"),
    *(Person(f"team{number:02d}@contoso.com", f"Team Member {number:02d}", "Team") for number in range(1, 21)),
    Person("breakglass@contoso.com", "Break Glass", None, {"is_admin": True}),
    Person("root.admin@contoso.com", "Root Admin", "IT", {"is_admin": True}),
    Person("dora.disabled@contoso.com", "Dora Disabled", "HP", {"account_enabled": False}),
    Person("guest_fabrikam.com#EXT#@contoso.com", "Fabrikam Guest", None, {"user_type": "Guest", **INVITED}),
    Person("member_fabrikam.com#EXT#@contoso.com", "Fabrikam Member", None, {"user_type": "Member", **INVITED}),
    Person("local.guest@contoso.com", "Local Guest", None, {"user_type": "Guest"}),
    Person("$money@contoso.com", "Money Account", "Finance"),
    Person("conor.o'neil@contoso.com", "Conor O'Neil", "Legal"),
)

THINGS = (
    Thing(id=object_id("device:HP-LAPTOP-1"), kind="device", display_name="HP-LAPTOP-1"),
    Thing(id=object_id("contact:Supplier"), kind="orgContact", display_name="Supplier"),
    Thing(id=object_id("app:Payroll"), kind="servicePrincipal", display_name="Payroll"),
)

# Members are UPNs, `group:<name>` or one of THINGS; "Nested C" closes the cycle.
GROUPS: tuple[tuple[str, tuple[str, ...], dict[str, bool]], ...] = (
    ("HP team", ("adele@contoso.com", "bob@contoso.com"), {}),
    ("Team twenty", tuple(f"team{number:02d}@contoso.com" for number in range(1, 21)), {}),
    ("Nested A", ("adele@contoso.com", "group:Nested B"), {}),
    ("Nested B", ("bob@contoso.com", "adele@contoso.com", "group:Nested C"), {}),
    ("Nested C", ("carol@contoso.com", "group:Nested A"), {}),
    (
        "Mixed crowd",
        (
            "carol@contoso.com",
            "dora.disabled@contoso.com",
            "guest_fabrikam.com#EXT#@contoso.com",
            "member_fabrikam.com#EXT#@contoso.com",
            "local.guest@contoso.com",
            "device:HP-LAPTOP-1",
            "contact:Supplier",
            "app:Payroll",
            "group:HP team",
        ),
        {},
    ),
    ("Break glass", ("breakglass@contoso.com",), {}),
    ("Hidden membership", ("adele@contoso.com", "carol@contoso.com"), {"hidden": True}),
    ("Nobody", (), {}),
    ("All staff", (), {"everyone": True}),
)


def seeded_directory(*, bulk: int) -> Directory:
    """A directory with every seed and `bulk` more users."""
    directory = Directory(bulk=bulk)
    for person in PEOPLE:
        directory.put(
            User(
                id=object_id(person.upn),
                upn=person.upn,
                display_name=person.name,
                department=person.department,
                **person.traits,
            )
        )
    for thing in THINGS:
        directory.things[thing.id] = Thing(id=thing.id, kind=thing.kind, display_name=thing.display_name)
    for name, members, traits in GROUPS:
        key = object_id(f"group:{name}")
        directory.groups[key] = Group(
            id=key, display_name=name, members=[object_id(member) for member in members], **traits
        )
    return directory
