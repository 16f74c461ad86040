import json
from typing import Any

import pytest

from local.rig import wire
from local.rig.early import EarlyCalls
from local.rig.proxy import Exchange
from revoke_core.adapters import storage
from revoke_core.adapters.ledger import CLAIM
from revoke_core.adapters.run_row import RUN_ROW
from revoke_core.domain.results import RequestStatus, UserStatus

ACCOUNT = "/devstoreaccount1"


def table(place: str, body: bytes = b"", method: str = "POST", answer: bytes = b"") -> Exchange:
    return Exchange(side="table", method=method, path=f"{ACCOUNT}/{place}", body=body, status=200, answer=answer)


def transaction(*entities: tuple[str, dict[str, Any]]) -> Exchange:
    """An entity-group transaction as the tables client writes it."""
    parts = []
    for name, entity in entities:
        key = f"(PartitionKey='{entity['PartitionKey']}',RowKey='{entity['RowKey']}')"
        parts.append(
            "--changeset_1\r\nContent-Type: application/http\r\n\r\n"
            f"PATCH http://127.0.0.1:10002{ACCOUNT}/{name}{key} HTTP/1.1\r\n"
            f"Content-Type: application/json\r\n\r\n{json.dumps(entity)}\r\n"
        )
    return table("$batch", "".join(parts).encode())


def user(**columns: Any) -> tuple[str, dict[str, Any]]:
    return "RevocationUsers", {"PartitionKey": "id", "RowKey": "0000001"} | columns


RUN = ("RevocationUsers", {"PartitionKey": "id", "RowKey": "run", "Owner": "x"})


def test_the_names_are_those_of_the_app() -> None:
    """A renamed table or status would blind the campaign; this tells first."""
    assert (wire.REQUESTS, wire.USERS, wire.STATE) == (
        storage.REQUESTS_TABLE,
        storage.USERS_TABLE,
        storage.STATE_TABLE,
    )
    assert (wire.DOOR, wire.WORK, *wire.POISON) == storage.QUEUES
    assert (wire.RUN_ROW, wire.CLAIM) == (RUN_ROW, CLAIM)
    assert set(wire.ORDER) == set(UserStatus)
    assert set(wire.FINAL_REQUEST) == {status for status in RequestStatus if status.is_final}


def test_a_transaction_is_read_entity_by_entity() -> None:
    """Each row keeps its table, and the run row is no user."""
    exchange = transaction(RUN, user(Status="pending", Attempts=0))
    assert [(write.table, write.row["RowKey"]) for write in wire.writes(exchange)] == [
        ("RevocationUsers", "run"),
        ("RevocationUsers", "0000001"),
    ]
    assert [row["RowKey"] for row in wire.user_rows(exchange)] == ["0000001"]


@pytest.mark.parametrize(
    ("exchange", "meanings"),
    [
        (transaction(RUN, user(Status="pending", Attempts=0)), {"seeds"}),
        (transaction(RUN, user(Status="pending", Attempts=1)), set()),
        (transaction(RUN, user(Status="revoked", Attempts=1)), {"tells_results"}),
        (transaction(RUN, user(Status="verified", Attempts=1)), {"tells_results"}),
        (transaction(RUN), set()),
        (table("RevocationState", b'{"PartitionKey": "claim", "RowKey": "x"}'), {"claims"}),
        (table("RevocationState", b'{"PartitionKey": "open", "RowKey": "x"}'), set()),
        (table("Revocations", b'{"RowKey": "x", "Status": "accepted"}'), {"accepts"}),
        (table("Revocations(PartitionKey='f',RowKey='x')", b'{"Status": "running"}', "PATCH"), set()),
        (table("Revocations(PartitionKey='f',RowKey='x')", b'{"Status": "succeeded"}', "PATCH"), {"ends"}),
        (table("Revocations()", method="GET", answer=b'{"value": []}'), set()),
    ],
)
def test_each_point_is_recognised_and_no_other(exchange: Exchange, meanings: set[str]) -> None:
    """A strike falls where its name says."""
    points = ("claims", "accepts", "seeds", "sends", "tells_results", "ends", "continues", "poisons")
    assert {name for name in points if getattr(wire, name)(exchange)} == meanings


def test_revokes_are_told_from_reads() -> None:
    """A batch of reads is a POST, too."""
    revoke = b'{"requests": [{"id": "0", "method": "POST", "url": "/users/a/revokeSignInSessions"}]}'
    assert wire.sends(Exchange(side="graph", method="POST", path="/v1.0/$batch", body=revoke))
    assert wire.sends(Exchange(side="graph", method="POST", path="/v1.0/users/a/revokeSignInSessions", body=b""))
    assert not wire.sends(Exchange(side="graph", method="POST", path="/v1.0/$batch", body=b'{"url": "/users/a"}'))


def test_messages_put_taken_and_missed_are_told_apart() -> None:
    """Idle polling is not work, and a message in hand can be named."""

    def queue(name: str, method: str, body: str = "", answer: str = "") -> Exchange:
        path = f"{ACCOUNT}/{name}/messages?numofmessages=8"
        status = 201 if method == "POST" else 200
        return Exchange(
            side="queue", method=method, path=path, body=body.encode(), status=status, answer=answer.encode()
        )

    put = queue("revocation-work", "POST", "<QueueMessage><MessageText>{&quot;a&quot;: 1}</MessageText></QueueMessage>")
    assert wire.continues(put)
    assert wire.message_text(put) == '{"a": 1}'
    assert wire.poisons(queue("revocation-work-poison", "POST"))
    idle = queue("revocation-work", "GET", answer="<QueueMessagesList />")
    taken = "<QueueMessagesList><QueueMessage><MessageId>1</MessageId><PopReceipt>r</PopReceipt></QueueMessage>"
    busy = queue("revocation-work", "GET", answer=f"{taken}</QueueMessagesList>")
    assert (wire.is_idle_poll(idle), wire.is_idle_poll(busy), wire.is_idle_poll(put)) == (True, False, False)
    assert (wire.received(idle), wire.received(busy)) == ([], [("1", "r")])
    assert (wire.is_work(put), wire.is_work(idle)) == (True, False)


def test_rows_read_are_counted() -> None:
    """A page counts its rows, a single row is one, a missing row none."""
    page = json.dumps({"odata.metadata": "x", "value": [{}, {}, {}]}).encode()
    assert wire.rows_read(table("RevocationUsers()", method="GET", answer=page)) == 3
    assert wire.rows_read(table("RevocationUsers(PartitionKey='a',RowKey='b')", method="GET", answer=b'{"A": 1}')) == 1
    missing = table("RevocationUsers(PartitionKey='a',RowKey='b')", method="GET", answer=b'{"odata.error": {}}')
    missing.status = 404
    assert wire.rows_read(missing) == 0


def test_a_call_before_a_retry_after_has_passed_is_noticed() -> None:
    """Writes and reads have gates of their own; what had left before the answer came is nobody's fault."""
    early = EarlyCalls()

    def call(at: float, kind: str = "revokeSignInSessions") -> Exchange:
        return Exchange(side="graph", method="POST", path="/v1.0/$batch", body=kind.encode(), arrived_at=at)

    throttled = call(0.0)
    item = {"id": "0", "status": 429, "headers": {"Retry-After": "30"}}
    throttled.answer = json.dumps({"responses": [item]}).encode()
    early.answered(throttled)
    told_at = next(iter(early._gates.values()))[0]
    for at in (told_at - 1, told_at + 31):
        early.arrived(call(at))
    early.arrived(call(told_at + 5, "reads"))
    assert early.calls == 0
    early.arrived(call(told_at + 5))
    assert early.calls == 1
