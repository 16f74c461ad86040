from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from revoke_core.service.protection import ProtectedListUnreadable, ProtectedUsers

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

GROUP = "8f5d1c2e-0000-4000-8000-0000000000aa"
PERSON = "8F5D1C2E-0000-4000-8000-0000000000BB"
USER = {"@odata.type": "#microsoft.graph.user"}
DEVICE = {"@odata.type": "#microsoft.graph.device"}


def protected(engine: Engine) -> ProtectedUsers:
    return ProtectedUsers(users=(), group=GROUP, graph=engine.gated, clock=engine.clock)


async def answered(directory: Directory, *pages: dict[str, Any]) -> None:
    for page in pages:
        await directory.fault("^/groups", status=200, body=page)


async def test_members_are_protected_by_their_ids_on_every_page(engine: Engine, directory: Directory) -> None:
    """Whatever the case of an id, with or without a type; what has no sessions needs no id."""
    following = f"{directory.root}/v1.0/groups/{GROUP}/transitiveMembers?$skiptoken=2"
    await answered(
        directory,
        {"value": [USER | {"id": PERSON}, DEVICE | {"id": None}, DEVICE], "@odata.nextLink": following},
        {"value": [{"id": GROUP, "@odata.type": None}]},
    )
    assert await protected(engine).keys() == {PERSON.lower(), GROUP}


@pytest.mark.parametrize("entry", [USER, USER | {"id": None}, USER | {"id": "x"}, {"displayName": "Root"}, None, "x"])
async def test_a_member_who_cannot_be_told_makes_the_list_unreadable(
    engine: Engine, directory: Directory, entry: Any
) -> None:
    """Passed over in silence, the user behind that entry would be revoked."""
    await answered(directory, {"value": [USER | {"id": PERSON}, entry]})
    with pytest.raises(ProtectedListUnreadable):
        await protected(engine).keys()
