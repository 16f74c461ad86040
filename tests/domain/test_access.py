import itertools
from datetime import UTC, datetime

import pytest

from revoke_core.domain.access import Action, Caller, Role, entra_caller, key_holder
from revoke_core.domain.errors import AccessDenied, NotFound
from revoke_core.domain.principal import Principal
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus

OID = "8f5d1c2e-0000-4000-8000-00000000000a"
OTHER = "8f5d1c2e-0000-4000-8000-00000000000b"
SUBMIT, READ, CONFIRM = Role
ALL = (SUBMIT, READ, CONFIRM)
# Which roles may do what: to any request, and to its own. Written out, so that a change of the rule shows here.
ANY_REQUEST = {
    Action.READ: {READ, CONFIRM},
    Action.CONFIRM: {CONFIRM},
    Action.CANCEL: {CONFIRM},
    Action.RETRY: {CONFIRM},
}
OWN = {
    Action.READ: {SUBMIT, READ, CONFIRM, None},
    Action.CONFIRM: {CONFIRM},
    Action.CANCEL: {SUBMIT, CONFIRM},
    Action.RETRY: {SUBMIT, CONFIRM},
}
AT_ALL = {
    Action.SUBMIT: {SUBMIT},
    Action.LIST: {SUBMIT, READ, CONFIRM},
    Action.READINESS: {READ},
}
SETS = [roles for size in range(4) for roles in itertools.combinations(ALL, size)]


def caller(*roles: str, object_id: str = OID, is_user: bool = True) -> Caller:
    return entra_caller(Principal(object_id=object_id, name="Adele", roles=frozenset(roles), is_user=is_user))


def record(requested_by: RequestedBy) -> RequestRecord:
    return RequestRecord(
        id="0" * 12 + "-" + "0" * 32,
        status=RequestStatus.RUNNING,
        source="http",
        requested_by=requested_by,
        requested_at=datetime(2026, 9, 10, tzinfo=UTC),
    )


THEIRS = record(RequestedBy(kind="entra", id=OTHER, name="Adele"))
MINE = record(RequestedBy(kind="entra", id=OID, name="Adele before her marriage"))


@pytest.mark.parametrize("roles", SETS)
@pytest.mark.parametrize("action", AT_ALL)
def test_an_action_needs_one_of_its_roles(action: Action, roles: tuple[Role, ...]) -> None:
    """403 names the role to ask for."""
    if AT_ALL[action] & set(roles):
        caller(*roles).require(action)
        return
    with pytest.raises(AccessDenied) as refused:
        caller(*roles).require(action)
    assert refused.value.status == 403
    assert all(role in refused.value.detail for role in AT_ALL[action])


@pytest.mark.parametrize("roles", SETS)
@pytest.mark.parametrize("action", ANY_REQUEST)
def test_what_may_be_done_to_anothers_request(action: Action, roles: tuple[Role, ...]) -> None:
    """Who does not see it gets 404 as for an id that does not exist; who sees it and may not touch it, 403."""
    if ANY_REQUEST[action] & set(roles):
        assert caller(*roles).require_on(action, THEIRS) is THEIRS
        return
    hidden = roles == (SUBMIT,)
    with pytest.raises(NotFound if hidden else AccessDenied) as refused:
        caller(*roles).require_on(action, THEIRS)
    assert refused.value.status == (404 if hidden else 403)


@pytest.mark.parametrize("roles", SETS)
@pytest.mark.parametrize("action", OWN)
def test_what_may_be_done_to_ones_own_request(action: Action, roles: tuple[Role, ...]) -> None:
    """Reading it needs no role, for ``POST /me/revocations`` needs none."""
    if OWN[action] & {*roles, None}:
        assert caller(*roles).require_on(action, MINE) is MINE
        return
    with pytest.raises(AccessDenied) as refused:
        caller(*roles).require_on(action, MINE)
    assert refused.value.status == 403
    assert any(role in refused.value.detail for role in OWN[action] if role)


@pytest.mark.parametrize("roles", SETS)
@pytest.mark.parametrize("action", OWN)
def test_no_answer_tells_whether_a_hidden_id_exists(action: Action, roles: tuple[Role, ...]) -> None:
    """Another's request that one may not see and an unknown id are refused with the same words."""
    if {READ, CONFIRM} & set(roles):
        with pytest.raises(NotFound):
            caller(*roles).require_on(action, None)
        return
    refusals = []
    for found in (THEIRS, None):
        with pytest.raises((NotFound, AccessDenied)) as refused:
            caller(*roles).require_on(action, found)
        refusals.append((refused.value.status, refused.value.detail))
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize(
    "requested_by",
    [
        RequestedBy(kind="key", id=OID),
        RequestedBy(kind="queue", id=OID, name="Adele", claim=True),
        RequestedBy(kind="local"),
        RequestedBy(kind="entra", id=None, name="Adele"),
    ],
)
def test_only_the_same_entra_caller_is_the_owner(requested_by: RequestedBy) -> None:
    """Neither a queue message that claims an identity nor a key is mistaken for a person."""
    assert not caller(SUBMIT).owns(record(requested_by))
    assert caller(SUBMIT).owns(MINE)


@pytest.mark.parametrize("role", ["revocations.submit", "Revocations.Submit ", "Revocations", "Admin", ""])
def test_a_role_is_its_exact_name(role: str) -> None:
    """Nothing similar opens anything."""
    for action in AT_ALL:
        with pytest.raises(AccessDenied):
            caller(role).require(action)
    with pytest.raises(AccessDenied):
        caller(role).require_on(Action.READ, THEIRS)


def test_lists_are_confined_to_a_submitters_own_requests() -> None:
    """Readers and confirmers see all; a caller with neither role sees its own."""
    assert caller(READ).confined_to is None
    assert caller(CONFIRM, SUBMIT).confined_to is None
    for confined in (caller(SUBMIT), caller()):
        assert confined.confined_to is not None
        assert confined.confined_to.id == OID


def test_a_key_may_do_what_the_function_does_that_it_opens() -> None:
    """The host has checked it; but it is no person with sessions of its own."""
    key = key_holder()
    for action in AT_ALL:
        key.require(action)
    for action in OWN:
        assert key.require_on(action, THEIRS) is THEIRS
    assert key.confined_to is None
    with pytest.raises(AccessDenied):
        key.require_user()


def test_only_a_person_has_own_sessions() -> None:
    """An application's object id is no user to revoke."""
    assert caller().require_user() == OID
    with pytest.raises(AccessDenied) as refused:
        caller(*ALL, is_user=False).require_user()
    assert refused.value.status == 403
