"""Who signs in elsewhere keeps its sessions whatever is called here; whoever signs in here is revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from engine import new_record
from listing import code

from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.user_state import Counts
from revoke_core.service.engine.request_warnings import MAY_BE_EXTERNAL

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

OWN = {"signInType": "userPrincipalName", "issuer": "contoso.onmicrosoft.com", "issuerAssignedId": "x@contoso.com"}
ENTRA = {"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": None}
GOOGLE = {"signInType": "federated", "issuer": "google.com", "issuerAssignedId": "123"}
INVITED = {"creationType": "Invitation"}
PENDING = {"externalUserState": "PendingAcceptance"}
ACCEPTED = {"externalUserState": "Accepted"}
EXT = "partner_fabrikam.com#EXT#"

PEOPLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "guest of another tenant": (EXT, INVITED | ACCEPTED | {"identities": [ENTRA, OWN]}, "skipped"),
    "invited member without #EXT#": ("partner", INVITED | ACCEPTED | {"identities": [ENTRA]}, "skipped"),
    "identities alone": ("partner", {"identities": [OWN, ENTRA]}, "skipped"),
    "internal account, invitation pending": ("staff", INVITED | PENDING | {"identities": [OWN]}, "verified"),
    "guest converted to a member": (EXT, INVITED | ACCEPTED | {"identities": [OWN]}, "verified"),
    "guest type that signs in here": ("staff", {"userType": "Guest", "identities": [OWN]}, "verified"),
    "no identities, #EXT#": (EXT, {"identities": []}, "skipped"),
    "no identities, accepted": ("partner", ACCEPTED | {"identities": None}, "skipped"),
    "no identities, invited once": ("staff", INVITED | {"identities": None}, "doubtful"),
    "no identities, pending": ("staff", PENDING | {"identities": []}, "doubtful"),
    "unknown issuer": ("staff", {"identities": [GOOGLE, OWN]}, "verified"),
    "unknown issuer, invited once": ("staff", INVITED | {"identities": [GOOGLE]}, "doubtful"),
    "damaged identities": ("staff", INVITED | {"identities": ["x", 5, {}, {"issuer": 5}]}, "doubtful"),
}


@pytest.mark.parametrize("who", PEOPLE)
async def test_who_signs_in_elsewhere_is_skipped_and_who_signs_in_here_is_revoked(
    engine: Engine, directory: Directory, who: str
) -> None:
    """By identities first, then #EXT# and an accepted invitation; in doubt revoked, and a person is told."""
    prefix, properties, expected = PEOPLE[who]
    (identity,) = await directory.people(1, prefix, **properties)
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers([identity])))
    final = await engine.resume(record.id)
    (row,) = await engine.log.all_rows(record.id)
    skipped = expected == "skipped"
    assert (row.status.value, code(row.problem)) == (("skipped", "externalUser") if skipped else ("verified", None))
    assert await directory.served() == ([] if skipped else [identity])
    assert final.warnings == ((MAY_BE_EXTERNAL,) if expected == "doubtful" else ())


async def test_the_warning_is_given_once_however_many_pages_there_are(engine: Engine, directory: Directory) -> None:
    """And stays beside what else is to be said of the request."""
    people = await directory.people(105, "staff", creationType="Invitation", identities=[])
    record = new_record(datetime.now(UTC), verify=False, counts=Counts(total=105, pending=105))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(people), verify=False))
    final = await engine.resume(record.id)
    assert len(final.warnings) == 2
    assert final.warnings[1] == MAY_BE_EXTERNAL
