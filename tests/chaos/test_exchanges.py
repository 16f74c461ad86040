import json
from typing import Any

import pytest

from local.testbed import exchanges
from local.testbed.early_calls import EarlyCalls
from local.testbed.proxy import Exchange
from revoke_core.adapters import storage
from revoke_core.adapters.tables.rows import marker_keys
from revoke_core.adapters.tables.run_row import RUN_ROW
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import UserStatus

ACCOUNT = "/devstoreaccount1"


def table(place: str, body: bytes = b"", method: str = "POST", answer: bytes = b"") -> Exchange:
    return Exchange(side="table", method=method, path=f"{ACCOUNT}/{place}", body=body, status=200, answer=answer)


def transaction(*entities: tuple[str, dict[str, Any]], insert: bool = False, deleted: str = "") -> Exchange:
    """An entity-group transaction as the tables client writes it; ``deleted`` is one more row, which it deletes."""
    operations = []
    for name, entity in entities:
        key = f"(PartitionKey='{entity['PartitionKey']}',RowKey='{entity['RowKey']}')"
        line = f"POST http://127.0.0.1:10002{ACCOUNT}/{name}" if insert else _merge(f"{name}{key}")
        operations.append(f"{line} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{json.dumps(entity)}\r\n")
    if deleted:
        resource = f"Revocations(PartitionKey='f',RowKey='{deleted}')"
        operations.append(f"DELETE http://127.0.0.1:10002{ACCOUNT}/{resource} HTTP/1.1\r\nIf-Match: *\r\n\r\n")
    head = "--changeset_1\r\nContent-Type: application/http\r\n\r\n"
    return table("$batch", "".join(head + operation for operation in operations).encode())


def _merge(resource: str) -> str:
    return f"PATCH http://127.0.0.1:10002{ACCOUNT}/{resource}"


def user(**columns: Any) -> tuple[str, dict[str, Any]]:
    return "RevocationUsers", {"PartitionKey": "id", "RowKey": "0000001"} | columns


REQUEST_ID = f"{'9' * 12}-{'a' * 32}"
MARKER = f"open-{'0' * 12}-{REQUEST_ID}"


def request_row(**columns: Any) -> tuple[str, dict[str, Any]]:
    return "Revocations", {"PartitionKey": "f", "RowKey": REQUEST_ID} | columns


def marker(redriven: int) -> tuple[str, dict[str, Any]]:
    columns = {"RedriveAt": "2026-09-10T14:32:27.000Z", "Redriven": redriven, "Paused": False}
    return "Revocations", {"PartitionKey": "f", "RowKey": MARKER} | columns


RUN = ("RevocationUsers", {"PartitionKey": "id", "RowKey": "run", "Owner": "x"})


def test_the_names_are_those_of_the_app() -> None:
    """A renamed table or status would blind the campaign; this test fails first."""
    assert (exchanges.REQUESTS, exchanges.USERS) == (storage.REQUESTS_TABLE, storage.USERS_TABLE)
    assert (exchanges.REQUEST_QUEUE, exchanges.WORK_QUEUE, *exchanges.POISON_QUEUES) == storage.QUEUES
    assert exchanges.RUN_ROW == RUN_ROW
    assert set(exchanges.STATUS_RANK) == set(UserStatus)
    assert set(exchanges.FINAL_REQUEST) == {status for status in RequestStatus if status.is_final}


def test_a_transaction_is_read_entity_by_entity() -> None:
    """Each row keeps its table, and the run row is no user."""
    exchange = transaction(RUN, user(Status="pending", Attempts=0))
    assert [(write.table, write.row["RowKey"]) for write in exchanges.written_entities(exchange)] == [
        ("RevocationUsers", "run"),
        ("RevocationUsers", "0000001"),
    ]
    assert [row["RowKey"] for row in exchanges.user_rows(exchange)] == ["0000001"]


@pytest.mark.parametrize(
    ("exchange", "meanings"),
    [
        (transaction(RUN, user(Status="pending", Attempts=0)), {"is_plan_commit"}),
        (transaction(RUN, user(Status="pending", Attempts=1)), set()),
        (transaction(RUN, user(Status="revoked", Attempts=1)), {"is_result_commit"}),
        (transaction(RUN, user(Status="verified", Attempts=1)), {"is_result_commit"}),
        (transaction(RUN), set()),
        (table("Revocations", b'{"RowKey": "key-0", "RequestId": "x", "Digest": "y"}'), set()),
        (table("Revocations", b'{"PartitionKey": "f", "RowKey": "open-0-x", "Redriven": 1}', "PATCH"), set()),
        (table("Revocations", b'{"RowKey": "x", "Status": "accepted"}'), {"is_request_creation"}),
        (table("Revocations(PartitionKey='f',RowKey='x')", b'{"Status": "running"}', "PATCH"), set()),
        (table("Revocations(PartitionKey='f',RowKey='x')", b'{"Status": "succeeded"}', "PATCH"), {"is_request_end"}),
        (transaction(request_row(Status="accepted"), marker(0), insert=True), {"is_request_creation"}),
        (transaction(request_row(Status="failed"), insert=True), {"is_request_end"}),
        (transaction(request_row(Status="succeeded"), deleted=MARKER), {"is_request_end"}),
        (transaction(marker(1)), set()),
        (table("Revocations()", method="GET", answer=b'{"value": []}'), set()),
    ],
)
def test_each_point_is_recognised_and_no_other(exchange: Exchange, meanings: set[str]) -> None:
    """A fault takes place at the exchange that its point names, with single writes and with transactions."""
    points = (
        "is_request_creation",
        "is_plan_commit",
        "is_revoke_call",
        "is_result_commit",
        "is_request_end",
        "is_work_message",
        "is_poison_message",
    )
    assert {name for name in points if getattr(exchanges, name)(exchange)} == meanings


def test_a_request_that_the_timer_redrives_is_named() -> None:
    """Only a marker that counts a redrive is one: not a new marker, nor one that a worker has moved."""
    assert exchanges.redriven_requests(transaction(marker(2))) == [REQUEST_ID]
    assert exchanges.redriven_requests(transaction(marker(0))) == []
    assert exchanges.redriven_requests(transaction(request_row(Status="accepted"), marker(0), insert=True)) == []
    assert exchanges.ended_requests(transaction(request_row(Status="succeeded"), deleted=MARKER)) == [REQUEST_ID]


def test_an_open_marker_is_named_as_the_app_names_it() -> None:
    """The prefix, the partition of three digits and the request id at the end are the app's own."""
    keys = marker_keys(REQUEST_ID)
    assert exchanges.is_open_marker(keys)
    assert exchanges.marked_request(keys) == REQUEST_ID
    assert not exchanges.is_open_marker({"RowKey": REQUEST_ID})


def test_revokes_are_distinguished_from_reads() -> None:
    """A batch of reads is a POST, too."""
    revoke = b'{"requests": [{"id": "0", "method": "POST", "url": "/users/a/revokeSignInSessions"}]}'
    assert exchanges.is_revoke_call(Exchange(side="graph", method="POST", path="/v1.0/$batch", body=revoke))
    assert exchanges.is_revoke_call(
        Exchange(side="graph", method="POST", path="/v1.0/users/a/revokeSignInSessions", body=b"")
    )
    assert not exchanges.is_revoke_call(
        Exchange(side="graph", method="POST", path="/v1.0/$batch", body=b'{"url": "/users/a"}')
    )


def test_messages_sent_and_received_and_idle_polls_are_distinguished() -> None:
    """Idle polling is not work, and a received message is named by id and receipt."""

    def queue(name: str, method: str, body: str = "", answer: str = "") -> Exchange:
        path = f"{ACCOUNT}/{name}/messages?numofmessages=8"
        status = 201 if method == "POST" else 200
        return Exchange(
            side="queue", method=method, path=path, body=body.encode(), status=status, answer=answer.encode()
        )

    put = queue("revocation-work", "POST", "<QueueMessage><MessageText>{&quot;a&quot;: 1}</MessageText></QueueMessage>")
    assert exchanges.is_work_message(put)
    assert exchanges.message_text(put) == '{"a": 1}'
    assert exchanges.is_poison_message(queue("revocation-work-poison", "POST"))
    idle = queue("revocation-work", "GET", answer="<QueueMessagesList />")
    taken = "<QueueMessagesList><QueueMessage><MessageId>1</MessageId><PopReceipt>r</PopReceipt></QueueMessage>"
    busy = queue("revocation-work", "GET", answer=f"{taken}</QueueMessagesList>")
    assert (exchanges.is_idle_poll(idle), exchanges.is_idle_poll(busy), exchanges.is_idle_poll(put)) == (
        True,
        False,
        False,
    )
    assert (exchanges.received_messages(idle), exchanges.received_messages(busy)) == ([], [("1", "r")])
    assert (exchanges.is_work(put), exchanges.is_work(idle)) == (True, False)


def test_rows_read_are_counted() -> None:
    """A page counts its rows, a single row is one, a missing row none."""
    page = json.dumps({"odata.metadata": "x", "value": [{}, {}, {}]}).encode()
    assert exchanges.rows_read(table("RevocationUsers()", method="GET", answer=page)) == 3
    assert (
        exchanges.rows_read(table("RevocationUsers(PartitionKey='a',RowKey='b')", method="GET", answer=b'{"A": 1}'))
        == 1
    )
    missing = table("RevocationUsers(PartitionKey='a',RowKey='b')", method="GET", answer=b'{"odata.error": {}}')
    missing.status = 404
    assert exchanges.rows_read(missing) == 0


def test_a_call_before_a_retry_after_has_passed_is_noticed() -> None:
    """Writes and reads have gates of their own; a call that left before the answer came is not counted."""
    early = EarlyCalls()

    def call(at: float, kind: str = "revokeSignInSessions") -> Exchange:
        return Exchange(side="graph", method="POST", path="/v1.0/$batch", body=kind.encode(), arrived_at=at)

    throttled = call(0.0)
    item = {"id": "0", "status": 429, "headers": {"Retry-After": "30"}}
    throttled.answer = json.dumps({"responses": [item]}).encode()
    early.on_response(throttled)
    closed_at = next(iter(early._gates.values()))[0]
    for at in (closed_at - 1, closed_at + 31):
        early.on_request(call(at))
    early.on_request(call(closed_at + 5, "reads"))
    assert early.calls == 0
    early.on_request(call(closed_at + 5))
    assert early.calls == 1
