"""Which audit entry and which sign-in are a user's, and when they are looked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from revoke_core.domain.evidence import (
    CUT_OFF_MOVED,
    Evidence,
    EvidenceMarker,
    Initiator,
    audit_entries,
    audit_windows,
    entry_of,
    first_sign_in,
    sign_ins,
)
from revoke_core.domain.responses import Answer, Delivery
from revoke_core.domain.timestamps import written
from revoke_core.domain.user_state import UserRow, UserStatus

SENT = datetime(2026, 9, 10, 14, 32, 27, 400_000, tzinfo=UTC)
USER = "8f5d1c2e-0000-4000-8000-000000000001"
APP = "8f5d1c2e-0000-4000-8000-0000000000aa"


def after(seconds: float) -> datetime:
    return SENT + timedelta(seconds=seconds)


def second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def revoked(*, shown: datetime | None = None, sent: datetime = SENT) -> UserRow:
    """A user whose call was sent then, and whose cut-off was read back as shown, if at all."""
    status = UserStatus.VERIFIED if shown else UserStatus.REVOKED
    return UserRow(position=1, given=USER, user_id=USER, status=status, revoked_at=sent, valid_from=shown)


def entry(at: datetime, *, name: str = "", by: Any = None, **more: Any) -> dict[str, Any]:
    """An entry as Graph writes it."""
    app = {"app": {"servicePrincipalId": APP, "displayName": "revoker", "appId": None}, "user": None}
    value = f'["{second(at):%Y-%m-%dT%H:%M:%SZ}"]'
    return {
        "activityDisplayName": f"{CUT_OFF_MOVED}{name}",
        "activityDateTime": written(at),
        "result": "success",
        "correlationId": written(at),
        "initiatedBy": by or app,
        "targetResources": [
            {
                "id": USER,
                "modifiedProperties": [{"displayName": "StsRefreshTokensValidFrom", "newValue": value}],
            }
        ],
    } | more


def found(row: UserRow, *items: Any, is_patient: bool = False, principal_id: str | None = APP) -> datetime | None:
    """When the entry that is taken for the user's own was written."""
    entries = audit_entries(Answer(delivery=Delivery.ANSWERED, status=200, body={"value": list(items)}))
    one = entry_of(row, entries, principal_id=principal_id, is_patient=is_patient)
    return one.at if one else None


ADMIN = {"app": None, "user": {"id": "x", "userPrincipalName": "root.admin@contoso.com"}}


def test_an_entry_of_a_later_call_waits_for_the_own_one() -> None:
    """The second request's entry is ingested first: it set another cut-off than the one that was read back."""
    own, later = after(0.2), after(20)
    row = revoked(shown=second(own))
    assert found(row, entry(later)) is None
    assert found(row, entry(later), entry(own)) == own


def test_an_entry_of_an_earlier_call_is_not_the_own_one() -> None:
    """The first request's entry is there, the second one's is not yet; three seconds lie within the clocks' skew."""
    own, earlier = after(0.2), after(-3)
    row = revoked(shown=second(own))
    assert found(row, entry(earlier)) is None
    assert found(row, entry(earlier), entry(own)) == own


def test_somebody_else_in_the_same_second_is_not_taken() -> None:
    """Both set the same value: the app's own entry counts, and before it shows nobody's."""
    own, other = after(0.2), after(0.1)
    row = revoked(shown=second(own))
    assert second(own) == second(other)
    assert found(row, entry(other, by=ADMIN)) is None
    assert found(row, entry(other, by=ADMIN), entry(own)) == own


def test_whoever_moved_it_after_the_own_call_is_not_taken_for_it() -> None:
    """An administrator moved the cut-off between the call and its proof: the app's call is there all the same."""
    own, other = after(0.2), after(4)
    assert found(revoked(shown=second(other)), entry(own), entry(other, by=ADMIN), is_patient=True) == own


def test_another_call_of_the_app_after_the_proof_is_not_taken() -> None:
    """The proof is an administrator's, the own entry lags, and a second request has revoked the user meanwhile."""
    other, second_call = after(4), after(10)
    row = revoked(shown=second(other))
    assert found(row, entry(other, by=ADMIN), entry(second_call)) is None


def test_where_the_app_has_no_entry_it_is_who_set_the_value() -> None:
    """Only in the end, and only an entry that set just the cut-off that was read back."""
    other, another = after(9), after(3)
    row = revoked(shown=second(other))
    items = [entry(other, by=ADMIN), entry(another, by=ADMIN)]
    assert found(row, *items) is None
    assert found(row, *items, is_patient=True) == other


def test_without_proof_the_time_decides() -> None:
    """Nothing was read back: the app's own entry within half a minute of the call, and nobody else's ever."""
    assert found(revoked(), entry(after(0.3)), entry(after(8))) == after(0.3)
    assert found(revoked(), entry(after(31))) is None
    assert found(revoked(), entry(after(0.3), by=ADMIN), is_patient=True) is None


def test_another_application_is_not_the_app() -> None:
    """Where the token does not tell who the app is, any application may be it."""
    row = revoked(shown=second(after(0.2)))
    assert found(row, entry(after(0.2)), principal_id="8f5d1c2e-0000-4000-8000-0000000000bb") is None
    assert found(row, entry(after(0.2)), principal_id=None) == after(0.2)


@pytest.mark.parametrize(
    "item",
    [
        None,
        {},
        entry(SENT, name="", activityDateTime="yesterday"),
        entry(SENT, result="failure"),
        entry(SENT, activityDisplayName="Update user"),
        entry(SENT, initiatedBy={"app": None, "user": None}),
        entry(SENT, targetResources="x"),
        entry(SENT, targetResources=[{"id": "somebody else"}]),
    ],
)
def test_what_is_no_entry_is_passed_over(item: Any) -> None:
    """Damaged, of another activity, refused, by nobody, about nobody."""
    assert found(revoked(shown=second(SENT)), item) is None


@pytest.mark.parametrize("value", [[], [{"displayName": "StsRefreshTokensValidFrom", "newValue": "["}]])
def test_an_entry_without_the_value_has_that_of_its_second(value: Any) -> None:
    """Published captures have entries without any changed property, and names with a full stop behind."""
    item = entry(after(0.2), name=".", targetResources=[{"id": USER.upper(), "modifiedProperties": value}])
    assert found(revoked(shown=second(after(0.2))), item) == after(0.2)


def test_users_sent_together_are_one_question() -> None:
    """However many; those sent an hour later are another one."""
    rows = [revoked(sent=after(number)) for number in range(40)] + [revoked(sent=after(3600), shown=after(3700))]
    first, last = audit_windows(rows)
    assert first == (after(-5), after(69))
    assert last == (after(3595), after(3730))


def test_a_sign_in_counts_from_the_users_own_cut_off_on() -> None:
    """Users of one question have cut-offs of their own; the second of the cut-off counts, the one before does not."""
    items = [
        {"createdDateTime": written(second(after(offset))), "userId": user, "appDisplayName": f"{offset}"}
        for offset, user in ((-1, USER), (0, "somebody else"), (30, USER), (0, USER))
    ]
    entries = sign_ins(Answer(delivery=Delivery.ANSWERED, status=200, body={"value": items}))
    one = first_sign_in(revoked(shown=second(SENT)), entries)
    assert one
    assert (one.time, one.app) == (second(SENT), "0")
    assert first_sign_in(revoked(shown=second(after(31))), entries) is None
    # Where no cut-off was read back: the second in which the call was sent.
    assert first_sign_in(revoked(), entries) == one


def test_a_sign_in_that_cannot_be_read_is_passed_over() -> None:
    """A result that is not there is no success."""
    items = [None, {}, {"createdDateTime": "x"}, {"createdDateTime": written(SENT), "userId": USER}]
    ((keys, one),) = sign_ins(Answer(delivery=Delivery.ANSWERED, status=200, body={"value": items}))
    assert (keys, one.time, one.result) == ({USER}, SENT, "unknown: ")


def test_rounds_grow_and_end_a_day_after_the_end() -> None:
    """10 s, then 1, 2, 4 … minutes later; the last one at 24 hours, and none behind it."""
    marker: EvidenceMarker | None = EvidenceMarker(request_id="x", ended_at=SENT, due_at=after(10))
    minutes = []
    while marker is not None:
        minutes.append(round((marker.due_at - SENT).total_seconds() / 60))
        marker = marker.after_round(marker.due_at)
    assert minutes == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1440]


def test_evidence_that_was_found_has_everything() -> None:
    """A name for each initiator, whichever member Graph has filled."""
    by = {"app": {"servicePrincipalId": APP, "displayName": None, "servicePrincipalName": "spn"}, "user": None}
    (one,) = audit_entries(Answer(delivery=Delivery.ANSWERED, status=200, body={"value": [entry(SENT, by=by)]}))
    assert one.initiated_by == Initiator(kind="app", id=APP, name="spn")
    assert Evidence(read_at=SENT).first_sign_in is None
