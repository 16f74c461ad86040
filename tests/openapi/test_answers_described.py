"""Every route, parameter, status, header and member that the app has is described, and nothing that it has not."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from answered import ME, ROUTES, Answered, described_operations, members_of, resolved, statuses_of
from clients import until
from described import DESCRIPTION, SCHEMAS
from outages import House, house
from principals import application

from local.openapi.answers import ANSWERS, PROBLEM_TYPES
from local.processes import ROOT
from revoke_core.domain.evidence import Evidence, Initiator, SignIn
from revoke_core.domain.problems import STABLE_CODES
from revoke_core.domain.timestamps import written
from revoke_core.domain.user_state import UserRow
from revoke_core.entrypoints.http.read import _protection
from revoke_core.entrypoints.http.render import CSV_COLUMNS, user
from revoke_core.service.engine.protection import Protection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UNKNOWN = "fe5df26e7595-" + "0" * 32
# What cannot be brought about here, each with its reason.
NOT_SEEN = {
    ("ConfirmRevocation", 200): "only where a worker ends the request between the confirmation and the answer",
}
ENTRA = {"ENTRA_AUTHENTICATION": "true", "WEBSITE_AUTH_ENABLED": "true"}
# A port that nobody listens on: the callback stays pending.
CALLBACK = "http://127.0.0.1:9/done"
CALLBACKS = {"CALLBACK_HOSTS": "127.0.0.1", "CALLBACK_SECRET": "whsec_" + "QUJD" * 8}
LIST_ROUTES = """
import json, function_app
for one in function_app.app.get_functions():
    trigger = one.get_trigger()
    if trigger.get_binding_name() == "httpTrigger":
        found = trigger.get_dict_repr()
        methods = [getattr(method, "value", method) for method in found["methods"]]
        print(json.dumps([found["route"], methods, str(getattr(found["authLevel"], "value", found["authLevel"]))]))
"""


def routes(entra: str) -> dict[tuple[str, str], str]:
    """The routes that ``function_app`` registers, with their levels, by path and method."""
    environment = os.environ | {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "ENTRA_AUTHENTICATION": entra}
    command = [sys.executable, "-c", LIST_ROUTES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {(f"/{route}", method.lower()): level.lower() for route, methods, level in found for method in methods}


def test_every_route_is_described_with_what_it_asks_for() -> None:
    """Both ways; with keys some routes are anonymous, and the caller's own sessions are there with Entra alone."""
    described = {
        (path, method): operation["security"]
        for path, methods in DESCRIPTION["paths"].items()
        for method, operation in methods.items()
    }
    with_keys, with_entra = routes("false"), routes("true")
    assert described.keys() == with_entra.keys()
    for route, security in described.items():
        schemes = [name for scheme in security for name in scheme]
        assert ("functionKey" in schemes) == (with_keys.get(route) == "function"), route
        assert ("entra" in schemes) == (with_keys.get(route) != "anonymous"), route
        assert (schemes == ["entra"]) == (route not in with_keys), route


def test_every_described_operation_is_played() -> None:
    """The scenario below leaves none out."""
    assert set(ROUTES) == set(described_operations())


def test_the_codes_are_those_of_the_error_page() -> None:
    """A code that is added stands in the description, on the page, and in the app."""
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert set(SCHEMAS["Error"]["properties"]["code"]["enum"]) == listed == set(STABLE_CODES)


def test_the_refusals_are_those_of_the_error_page() -> None:
    """The paragraph on refusals and the description name the same statuses, but for a fault of the app itself."""
    page = (ROOT / "docs/errors.md").read_text().partition("HTTP refusals are")[2]
    described = {int(status) for operation in described_operations().values() for status in operation["responses"]}
    assert {status for status in described if status >= 400} - {500} == statuses_of(page)


def test_the_columns_of_csv_are_described() -> None:
    """In their order."""
    responses = described_operations()["ListRevocationUsers"]["responses"]
    assert ",".join(CSV_COLUMNS) in responses["200"]["content"]["text/csv"]["schema"]["description"]


@pytest.fixture
async def whole(azurite: str) -> AsyncIterator[House]:
    """An app with Entra authentication that holds whatever it finds."""
    async with house(azurite, MAX_UNCONFIRMED_USERS="1", **ENTRA, **CALLBACKS) as made:
        yield made


async def finish(seen: Answered, whole: House, request_id: str) -> None:
    """The queue side works on it until it has ended or waits for a person."""

    async def work() -> str:
        await whole.app.queue.work(json.dumps({"requestId": request_id}))
        return str((await seen.call(whole, "GetRevocation", request_id))["status"])

    await until(work, lambda status: status not in ("accepted", "running"))


async def signature_of(whole: House, request_id: str) -> str:
    """As it stands in the signed link to a request."""
    return (await whole.app.read._links.operation(request_id)).partition("sig=")[2]


async def play_one_request(seen: Answered, whole: House) -> str:
    """Submitted, read in every form, tried again; the id of a request whose only user failed."""
    flow = {"x-ms-client-request-id": "c-1", "x-ms-workflow-run-id": "r-1", "x-ms-workflow-name": "flow"}
    flow |= {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    two = {"users": ["adele@contoso.com", "nobody-at-all@contoso.com"], "reason": "INC-1", "callbackUrl": CALLBACK}
    answer = await seen.call(whole, "SubmitRevocation", content=two, headers=flow | {"Prefer": "wait=20"})
    await finish(seen, whole, answer["id"])
    await seen.call(whole, "ListRevocations", query={"user": "adele@contoso.com"})
    for form in ("json", "csv"):
        await seen.call(whole, "ListRevocationUsers", answer["id"], query={"pageSize": "1", "format": form})
    again = {"headers": {"Idempotency-Key": secrets.token_hex(8)}}
    retried = await seen.call(whole, "RetryRevocation", answer["id"], **again)
    await finish(seen, whole, retried["id"])
    await seen.call(whole, "RetryRevocation", answer["id"], **again)
    await seen.call(whole, "CancelRevocation", answer["id"])
    return str(retried["id"])


async def play_waiting_requests(seen: Answered, whole: House) -> None:
    """Queued ones, found ones that are held, the caller's own; and dry runs of more users than fit an answer."""
    many = await whole.directory.people(101, f"many{secrets.token_hex(3)}")
    dry = await seen.call(whole, "SubmitRevocation", content={"users": many, "dryRun": True})
    await finish(seen, whole, dry["id"])
    await seen.call(whole, "GetRevocation", dry["id"])
    me = {"id": ME, "userPrincipalName": "me@contoso.com"}
    await whole.directory.post("users", [me])
    mine = {"Prefer": "respond-async", "Idempotency-Key": secrets.token_hex(8)}
    own = await seen.call(whole, "SubmitOwnRevocation", roles=(), headers=mine)
    await seen.call(whole, "SubmitOwnRevocation", roles=(), content={"reason": "x"}, headers=mine)
    await seen.call(whole, "GetRevocation", own["id"], roles=())
    await finish(seen, whole, own["id"])
    await seen.call(whole, "SubmitOwnRevocation", roles=(), headers=mine)
    payload = {"headers": mine | {"Idempotency-Key": secrets.token_hex(8)}}
    accounts = {"Accounts": [{"AadUserId": many[0]}, {"Sid": "S-1-5-21-1-2-3-4"}]}
    sent = await seen.call(whole, "SubmitPayload", "sentinel-accounts", content=accounts, **payload)
    await finish(seen, whole, sent["id"])
    await seen.call(whole, "SubmitPayload", "sentinel-accounts", content=accounts, **payload)
    await seen.call(whole, "SubmitPayload", "sentinel-accounts", content={"Accounts": []}, **payload)
    group = await whole.directory.group(f"g{many[0]}", many[:3])
    key = {"Idempotency-Key": secrets.token_hex(8), "Prefer": "respond-async"}
    held = await seen.call(whole, "SubmitRevocation", content={"groups": [group]}, headers=key)
    await seen.call(whole, "SubmitRevocation", content={"groups": [group], "reason": "other"}, headers=key)
    await seen.call(whole, "ConfirmRevocation", held["id"], content={"users": 3})
    await seen.call(whole, "RetryRevocation", held["id"])
    signature = await signature_of(whole, held["id"])
    await seen.call(whole, "GetOperation", held["id"], roles=None, query={"sig": signature})
    await finish(seen, whole, held["id"])
    await seen.call(whole, "GetOperation", held["id"], roles=None, query={"sig": signature})
    await seen.call(whole, "ConfirmRevocation", held["id"], content={"users": 3})
    await seen.call(whole, "CancelRevocation", held["id"])
    await seen.call(whole, "CancelOpenRevocations", content={"requestedBy": {"kind": "entra", "id": ME}})
    nothing = await signature_of(whole, UNKNOWN)
    await seen.call(whole, "GetOperation", UNKNOWN, roles=None, query={"sig": nothing})


async def play_messages(seen: Answered, whole: House) -> None:
    """One that claims its sender, and one that is no request."""
    began = written(datetime.now(UTC))
    await whole.app.queue.message('{"user": "adele@contoso.com", "requestedBy": "HR"}', secrets.token_hex(8))
    await whole.app.queue.message('{"user": "me"}', secrets.token_hex(8))
    for size in ("1", "1000"):
        await seen.call(whole, "ListRevocations", query={"pageSize": size, "since": began})


async def play_refusals(seen: Answered, whole: House, failed: str) -> None:
    """Whatever a caller can get wrong, on every route."""
    too_many = b"user\n" + 100_001 * b"adele@contoso.com\n"
    for name, operation in described_operations().items():
        content: Any = {"user": "adele@contoso.com"} if name == "SubmitRevocation" else None
        about = "sentinel-accounts" if name == "SubmitPayload" else UNKNOWN
        refused = await seen.call(whole, name, about, content=content, query={"surprise": "1"})
        if name != "HeadHealth":
            (fault,) = refused["errors"]
            known = fault["detail"].partition("; known are ")[2]
            in_query = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            assert set(known.split(", ") if known else ()) == in_query, name
        takes = {int(status) for status in operation["responses"]}
        needs_body = {"ConfirmRevocation": {"users": 1}, "SubmitRevocation": content}
        needs_body["CancelOpenRevocations"] = {"requestedBy": {"kind": "queue"}}
        needs_body["SubmitPayload"] = {"Accounts": []}
        for status, call in {
            401: {"roles": None},
            403: {"roles": ()} if name != "SubmitOwnRevocation" else {"roles": None, "headers": application()},
            404: {},
            413: {"body": b"x" * (16 * 1024 * 1024 + 1)},
            422: {"content": {"groups": [ME] * 1001}} if name != "SubmitPayload" else {"body": too_many},
        }.items():
            if status in takes and not (name == "GetOperation" and status == 404):
                shown = {404: UNKNOWN, 422: "csv" if name == "SubmitPayload" else about}.get(status, about)
                await seen.call(whole, name, shown, **{"content": needs_body.get(name)} | call)
    signature = await signature_of(whole, failed)
    whole.outage.of_tables()
    for name, operation in described_operations().items():
        if "503" in operation["responses"]:
            content = {"ConfirmRevocation": {"users": 1}, "SubmitRevocation": {"user": "adele@contoso.com"}}.get(name)
            if name == "CancelOpenRevocations":
                content = {"requestedBy": {"kind": "queue"}}
            if name == "SubmitPayload":
                content = {"Accounts": [{"AadUserId": ME}]}
            query = {"sig": signature} if name == "GetOperation" else {}
            about = "sentinel-accounts" if name == "SubmitPayload" else failed
            await seen.call(whole, name, about, content=content, query=query)
    whole.outage.over()


async def play_too_many(seen: Answered, narrow: House, failed: str) -> None:
    """A caller may have one request open: one more is one too many."""
    waiting = {"Prefer": "respond-async"}
    await seen.call(narrow, "SubmitRevocation", content={"user": "adele@contoso.com"}, headers=waiting)
    await seen.call(narrow, "SubmitRevocation", content={"user": "adele@contoso.com"})
    await seen.call(narrow, "SubmitOwnRevocation")
    await seen.call(narrow, "SubmitPayload", "sentinel-accounts", content={"Accounts": [{"AadUserId": ME}]})
    await seen.call(narrow, "RetryRevocation", failed)


def play_protection(seen: Answered, readiness: Any) -> None:
    """Readiness where the protected list is kept, or cannot be read."""
    found = Protection(entries=1, members=2, read_at=datetime.now(UTC), kept="it is empty", unreadable=("the group",))
    seen.note("Readiness", readiness | {"protection": _protection(found)})
    seen.note("Readiness", readiness | {"protection": _protection(replace(found, kept=None, unreadable=()))})
    seen.note("Readiness", readiness | {"protection": _protection(None)})


def play_evidence(seen: Answered) -> None:
    """A user whom the logs name, one of whom they say nothing yet, one whose sign-ins cannot be read."""
    now = datetime.now(UTC)
    found = Evidence(
        initiated_by=Initiator(kind="app", id=ME, name="contoso-revoker"),
        correlation_id="c-1",
        audited_at=now,
        sign_ins_read=True,
        first_sign_in=SignIn(time=now, app="Portal", address="203.0.113.77", result="success"),
        read_at=now,
    )
    nothing = replace(found, initiated_by=None, correlation_id=None, audited_at=None, first_sign_in=None)
    for evidence in (found, nothing, replace(nothing, sign_ins_read=False)):
        row = UserRow(position=1, given="adele@contoso.com", evidence=evidence)
        seen.note("User", json.loads(json.dumps(user(row))))


async def test_what_is_answered_is_described_and_what_is_described_is_answered(whole: House, azurite: str) -> None:
    """Through the whole API, each answer has described statuses, headers and members only, and none is left over."""
    seen = Answered()
    failed = await play_one_request(seen, whole)
    await play_waiting_requests(seen, whole)
    await play_messages(seen, whole)
    for name in ("GetHealth", "HeadHealth", "GetDescription"):
        await seen.call(whole, name, roles=None)
    play_protection(seen, await seen.call(whole, "GetReadiness"))
    play_evidence(seen)
    await play_refusals(seen, whole, failed)
    # Its identity takes the place of the other's.
    async with house(azurite, MAX_OPEN_REQUESTS_PER_CALLER="1", **ENTRA) as narrow:
        await play_too_many(seen, narrow, failed)

    described = {
        (name, int(status)) for name, operation in described_operations().items() for status in operation["responses"]
    }
    assert described - seen.statuses - NOT_SEEN.keys() == {(name, 500) for name in ROUTES}
    headers = {
        (name, int(status), header)
        for name, operation in described_operations().items()
        for status, response in operation["responses"].items()
        for header in resolved(response).get("headers", {})
    }
    seen_statuses = {(status, header) for _, status, header in seen.headers}
    unseen = {(status, header) for _, status, header in headers} - seen_statuses
    assert {found for found in unseen if found[0] != 500} == set()
    members = {found for name in ANSWERS for found in members_of(SCHEMAS[name], (name,))}
    assert members - seen.members == set()
    kinds = {kind.removeprefix(PROBLEM_TYPES) for kind in seen.kinds}
    described_kinds = set(SCHEMAS["Problem"]["properties"]["type"]["enum"])
    # The others are shown by tests of their own: a pause, a list that cannot be read, a crash.
    others = {"paused", "protectedListUnreadable", "internal-error"}
    assert {kind.removeprefix(PROBLEM_TYPES) for kind in described_kinds} == kinds | others
