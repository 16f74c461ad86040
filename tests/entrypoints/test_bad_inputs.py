"""Four hundred bad inputs, listed, over HTTP and by message: each is refused in words, and none does anything."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from mistakes import BODIES, HOSTILE_NAMES, ID, MEMBERS, NAMES

from revoke_core.domain.identifiers import new_request_id
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from outages import House

    from revoke_core.entrypoints.http.response import HttpResponse

    Sent = Callable[[], Awaitable[HttpResponse]]

GOOD = "adele@contoso.com"
ALL_NAMES = [name for name, _ in NAMES] + list(HOSTILE_NAMES)
QUERIES: list[dict[str, str]] = [
    {name: value}
    for name, values in {
        "status": ("done", "Succeeded ", "verified"),
        "since": ("yesterday", "2026-13-01T00:00:00Z", "2026-09-10", "1757512347"),
        "user": ("adele", "a/b@contoso.com", "S-1-5-21-1"),
        "pageSize": ("0", "-1", "1001", "ten", "1e2", "9" * 5000),
        "continuationToken": ("x", "%00", "eyJh", "W10="),
        "top": ("5",),
        "$filter": ("status eq 'failed'",),
    }.items()
    for value in values
]
KEYS = ("", " ", "k" * 256, "clé", "a\tb", "a\x7f", " lead", "trail ")
# In a message each of these says for certain what is meant.
READ_IN_MESSAGES = (b"adele@contoso.com", b'"adele@contoso.com"')


def http_calls(whole: House) -> list[Sent]:
    """Every bad call."""
    submit, control, read = whole.app.submit, whole.app.control, whole.app.read
    some_id = new_request_id(whole.app.transport._clock.now())
    bodies: list[Any] = [{"user": name} for name in ALL_NAMES]
    bodies += [{"users": [GOOD, name]} for name in ALL_NAMES]
    bodies += [{"user": GOOD, "exclude": [name]} for name in ALL_NAMES]
    bodies += [{"groups": [name]} for name in ALL_NAMES]
    bodies += [members for members, _ in MEMBERS]
    raw = [json.dumps(body).encode() for body in bodies] + [body for body, _ in BODIES]
    calls: list[Sent] = [lambda body=body: submit.submit(HttpCall(body=body)) for body in raw]
    for body, _ in BODIES:
        calls += [
            lambda body=body: control.confirm(HttpCall(body=body), some_id),
            lambda body=body: control.cancel_open(HttpCall(body=body)),
            lambda body=body: control.retry(HttpCall(body=body), some_id),
        ]
    calls += [lambda query=query: read.requests(HttpCall(query=query)) for query in QUERIES]
    calls += [lambda query=query: submit.submit(HttpCall(query=query, body=raw[0])) for query in QUERIES]
    good = json.dumps({"user": GOOD}).encode()
    calls += [lambda key=key: submit.submit(HttpCall(headers={"idempotency-key": key}, body=good)) for key in KEYS]
    return calls


def messages() -> list[str]:
    """Every bad message."""
    texts = [json.dumps({"user": name}) for name in ALL_NAMES]
    texts += [json.dumps({"users": [ID], "exclude": [name]}) for name in ALL_NAMES]
    texts += [json.dumps(members) for members, _ in MEMBERS]
    bodies = [body for body, said in BODIES if body not in READ_IN_MESSAGES and said not in ("base64", "UTF-16")]
    return texts + [body.decode("utf-8", "replace") for body in bodies]


async def test_four_hundred_bad_inputs_are_refused_in_words(
    whole: House, record_property: Callable[[str, object], None]
) -> None:
    """400 that names what is wrong, or one failed row for a message; nobody is looked up or signed out for one."""
    calls, texts = http_calls(whole), messages()
    assert len(calls) + len(texts) >= 400
    slowest = 0.0
    for number, call in enumerate(calls):
        began = time.perf_counter()
        answer = await call()
        slowest = max(slowest, time.perf_counter() - began)
        assert answer.status == 400, (number, answer.body)
        problem = json.loads(answer.body)
        assert problem["errors"], (number, problem)
        assert all(fault["detail"] for fault in problem["errors"])
    ids = [secrets.token_hex(8) for _ in texts]
    for text, message_id in zip(texts, ids, strict=True):
        await whole.app.queue.message(text, message_id)
    rows: dict[str, list[Any]] = {message_id: [] for message_id in ids}
    query = {"pageSize": "1000"}
    while True:
        listed = json.loads((await whole.app.read.requests(HttpCall(query=query))).body)
        for entry in listed["value"]:
            rows.setdefault(entry["requestedBy"]["id"], []).append(entry)
        if "nextLink" not in listed or not listed["nextLink"]:
            break
        query["continuationToken"] = listed["nextLink"].partition("continuationToken=")[2].partition("&")[0]
    for text, message_id in zip(texts, ids, strict=True):
        (entry,) = rows[message_id]
        assert (entry["status"], entry["error"]["code"]) == ("failed", "invalidMessage"), text
    assert await whole.directory.served() == []
    record_property("listed inputs, slowest answer in ms", f"{len(calls) + len(texts)}, {1000 * slowest:.0f}")
