"""docs/answers.md says what the running app really answers: every member, header, status and code, and no other."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from clients import send_message, until
from outages import house
from principals import HEADER, READ, SUBMIT, signed_in
from steps import JumpingClock

from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.domain.errors import Refused
from revoke_core.domain.problems import STABLE_CODES
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import UserStatus
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients import Api, Reply, Tenant

    from revoke_core.adapters.storage import Storage

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "answers.md").read_text()
NO_GROUP = "8f5d1c2e-0000-4000-8000-00000000abcd"
CALLBACKS = {"CALLBACK_HOSTS": "127.0.0.1", "CALLBACK_SECRET": "whsec_" + base64.b64encode(bytes(32)).decode()}
EMPTIED = "8f5d1c2e-0000-4000-8000-0000000000df"
# What any server sends, and what the local host adds.
EVERYBODYS = {"Content-Length", "Date", "Server"}
# Members whose values belong to an example; of all others an example shows the kind of value.
TOLD = {"status", "code", "type", "title", "kind", "source", "dryRun", "claim"}


@dataclass
class Gathered:
    """What the app answered, by the name of the example it belongs to, with all members of each part of it."""

    answers: dict[str, Any] = field(default_factory=dict)
    members: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    headers: set[str] = field(default_factory=set)
    columns: list[str] = field(default_factory=list)

    def add(self, name: str, reply: Reply) -> Any:
        """Keep one answer and its headers."""
        self.headers |= {header for header in reply.headers if header not in EVERYBODYS}
        self.answers[name] = reply.json
        return self.answers[name]

    def resource(self, content: dict[str, Any]) -> None:
        """Note the members of a revocation resource."""
        self.members["resource"] |= content.keys()
        for part in ("requestedBy", "correlation", "counts", "links", "callback", "error"):
            self.members[part] |= content.get(part, {}).keys()
        for fault in content.get("error", {}).get("errors", []):
            self.members["fault"] |= fault.keys()
        for user in content.get("users", []):
            self.members["user"] |= user.keys()
            self.members["error"] |= user.get("error", {}).keys()
            self.members["evidence"] |= user.get("evidence", {}).keys()
            for part in ("initiatedBy", "firstSignIn"):
                self.members[part] |= (user.get("evidence", {}).get(part) or {}).keys()


def section(title: str) -> str:
    """The text under one heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(text: str) -> list[str]:
    """What stands in code style in the first cell of each table row."""
    return [re.findall(r"`([^`]+)`", line)[0] for line in text.splitlines() if line.startswith("| `")]


def examples() -> Iterator[Any]:
    """Each example of the page, with the name that stands above it."""
    for name, text in re.findall(r"^Example, ([^:\n]+):\n\n```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        yield pytest.param(name, json.loads(text), id=name)


def shape(value: Any, name: str = "") -> Any:
    """A value as an example promises it: members and kinds of values, and some values themselves."""
    if isinstance(value, dict):
        return {member: shape(inner, member) for member, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return value if name in TOLD else type(value).__name__


@pytest.fixture(scope="module")
def gathered() -> Gathered:
    """Filled by the first test that needs it."""
    return Gathered()


@pytest.fixture
def emulator(azurite: str, storage: Storage) -> tuple[str, Storage]:
    """Where the app with Entra authentication keeps its log, and the way to it."""
    return azurite, storage


@pytest.fixture
async def real(
    gathered: Gathered, api: Api, tenant: Tenant, connection: str, emulator: tuple[str, Storage]
) -> Gathered:
    """Answers of every kind, from the running app and from one with Entra authentication."""
    if gathered.answers:
        return gathered
    mark = f"answers{uuid4().hex[:8]}"
    people = await tenant.people(2, mark)
    await _finished(gathered, api, people)
    await _running_and_held(gathered, api, tenant, mark)
    await _by_queue(gathered, api, connection, mark)
    await _read(gathered, api)
    await _refused(gathered, api)
    await _with_entra(gathered, *emulator)
    for name, answer in gathered.answers.items():
        if "counts" in answer:
            gathered.resource(answer)
        if "value" in answer:
            gathered.members["list"] |= answer.keys()
        if "type" in answer:
            gathered.members["problem"] |= answer.keys()
            for fault in answer.get("errors", []):
                gathered.members["fault"] |= fault.keys()
        if name.startswith("readiness"):
            gathered.members["readiness"] |= answer.keys()
            for part in ("graph", "protection", "queue"):
                gathered.members[part] |= answer[part].keys()
    return gathered


async def _finished(gathered: Gathered, api: Api, people: list[str]) -> None:
    gathered.add("one user, proven", await api.submit({"user": people[0], "reason": "INC-1042 stolen token"}))
    mixed = [people[1], "nobody@contoso.com", "guest_fabrikam.com#EXT#@contoso.com", "breakglass@contoso.com"]
    partly = gathered.add("some were not revoked", await api.submit({"users": mixed}))
    again = await api.say(partly["id"], "retry")
    gathered.add("a retry", await api.finished(again.json["id"]))
    gathered.add("a dry run", await api.submit({"users": mixed[:2], "dryRun": True}))
    waited = await api.submit({"groups": [NO_GROUP]}, Prefer="respond-async")
    gathered.add("a request that was stopped as a whole", await api.finished(waited.json["id"]))


async def _running_and_held(gathered: Gathered, api: Api, tenant: Tenant, mark: str) -> None:
    people = await tenant.people(2, f"{mark}running")
    await tenant.post("config", {"latencyMs": 1500})
    gathered.add("accepted", await api.submit({"users": people}, Prefer="respond-async"))
    found = await until(
        lambda: api.get(f"revocations/{gathered.answers['accepted']['id']}"),
        lambda reply: "estimatedCompletionAt" in reply.json,
    )
    gathered.add("running", found)
    await tenant.post("config", {"latencyMs": 0})
    await api.finished(found.json["id"])
    group = await tenant.group(await tenant.people(101, f"{mark}held"))
    reply = await api.submit({"groups": [group], "reason": "INC-1043"})
    held = gathered.add("held", await api.reaches(reply.json["id"], "held"))
    gathered.add("a page of users", await api.get(f"revocations/{held['id']}/users?pageSize=1"))
    csv = await api.get(f"revocations/{held['id']}/users?pageSize=1&format=csv")
    gathered.headers |= {header for header in csv.headers if header not in EVERYBODYS}
    gathered.columns = csv.text.splitlines()[0].split(",")
    await api.say(held["id"], "cancel")
    gathered.add("cancelled", await api.finished(held["id"]))


async def _by_queue(gathered: Gathered, api: Api, connection: str, mark: str) -> None:
    text = json.dumps({"usr": mark, "requestedBy": "HR"})
    await send_message(connection, text)

    async def refused() -> list[dict[str, Any]]:
        entries = (await api.get("revocations?status=failed&pageSize=20")).json["value"]
        return [entry for entry in entries if entry.get("messageText") == text]

    (entry,) = await until(refused, bool)
    gathered.answers["a message that is no request"] = entry
    await send_message(connection, json.dumps({"user": f"{mark}00000@contoso.com", "requestedBy": "HR"}))

    async def named() -> list[dict[str, Any]]:
        entries = (await api.get(f"revocations?user={mark}00000@contoso.com")).json["value"]
        return [entry for entry in entries if entry["source"] == "queue" and entry["completedAt"]]

    (gathered.answers["by queue message"],) = await until(named, bool)


async def _read(gathered: Gathered, api: Api) -> None:
    gathered.add("a list", await api.get("revocations?pageSize=1"))
    gathered.add("readiness", await api.get("readiness"))
    gathered.add("health", await api.call("GET", "health"))
    everything = {"requestedBy": {"kind": "key", "id": "5d41402abc4b2a76"}}
    stopped = await api.call("POST", "revocations/cancel", headers=api.key, data=json.dumps(everything))
    gathered.add("everything of one caller cancelled", stopped)


async def _refused(gathered: Gathered, api: Api) -> None:
    gathered.add("a request with two faults", await api.submit({"user": "8f5d-typo", "dryrun": True}))
    gathered.add("no such request", await api.get("revocations/" + "0" * 12 + "-" + "0" * 32))
    gathered.add("a link that does not open", await api.call("GET", "operations/" + "0" * 12 + "-" + "0" * 32))


async def _with_entra(gathered: Gathered, azurite: str, storage: Storage) -> None:
    settings = {
        "ENTRA_AUTHENTICATION": "true",
        "WEBSITE_AUTH_ENABLED": "true",
        "PROTECTED_GROUP": EMPTIED,
        "EVIDENCE": "true",
    } | CALLBACKS
    person = {HEADER.lower(): signed_in(SUBMIT, READ, object_id=str(uuid4()))[HEADER]}
    clock = JumpingClock()

    async def ready(name: str) -> Any:
        answer = await made.app.read.readiness(HttpCall(headers=person))
        gathered.answers[name] = json.loads(answer.body)
        return gathered.answers[name]["protection"]

    await _forget_pace(storage)
    async with house(azurite, clock=clock, **settings) as made:
        await made.directory.configure(grantedRoles=["User.ReadWrite.All", "GroupMember.Read.All", "AuditLog.Read.All"])
        assert "unreadable" in await ready("readiness without a protected list")
        members = await made.directory.people(1, "guarded")
        await made.directory.group("Guarded", members, id=EMPTIED)
        assert (await ready("readiness with a group"))["groupMembers"] == 1
        body = json.dumps({"user": "bob@contoso.com", "callbackUrl": "http://127.0.0.1:9/"}).encode()
        answer = await made.app.submit.submit(HttpCall(headers=person, body=body))
        gathered.answers["by a person"] = json.loads(answer.body)
        body = json.dumps({"user": "adele@contoso.com"}).encode()
        submitted = json.loads((await made.app.submit.submit(HttpCall(headers=person, body=body))).body)
        await made.directory.post("signIns", {"user": "adele@contoso.com", "address": "203.0.113.77"})
        clock.jump(seconds=30)
        await made.app.read_evidence()
        answer = await made.app.read.request(HttpCall(headers=person), submitted["id"])
        gathered.answers["a user with evidence"] = json.loads(answer.body)
        await made.directory.group("Guarded", [], id=EMPTIED)
        clock.jump(minutes=2)
        assert "kept" in await ready("readiness while an earlier list counts")
        nobody = await made.app.read.readiness(HttpCall())
        gathered.headers |= nobody.headers.keys()
        gathered.answers["a caller who is not known"] = json.loads(nobody.body)
    await _forget_pace(storage)


async def _forget_pace(storage: Storage) -> None:
    """Drop what a clock has written that is not the one of other tests."""
    for row in ("1", "reports"):
        await storage.table(STATE_TABLE).delete_entity("pace", row)


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("The revocation resource", "resource"),
        ("Who asked: `requestedBy`", "requestedBy"),
        ("The caller's own ids: `correlation`", "correlation"),
        ("Counts", "counts"),
        ("Links", "links"),
        ("Callback", "callback"),
        ("A user", "user"),
        ("Evidence", "evidence"),
        ("Evidence: `initiatedBy`", "initiatedBy"),
        ("Evidence: `firstSignIn`", "firstSignIn"),
        ("An error", "error"),
        ("A fault", "fault"),
        ("Lists", "list"),
        ("Refusals: `application/problem+json`", "problem"),
        ("Readiness", "readiness"),
        ("Readiness: `graph`", "graph"),
        ("Readiness: `protection`", "protection"),
        ("Readiness: `queue`", "queue"),
    ],
)
async def test_every_member_of_an_answer_has_its_line(real: Gathered, title: str, part: str) -> None:
    """Whoever maps an answer in a flow finds each member explained, and none that never comes."""
    assert sorted(cells(section(title))) == sorted(real.members[part])


@pytest.mark.parametrize(("name", "written"), [*examples()])
async def test_every_example_is_what_the_app_answers(real: Gathered, name: str, written: Any) -> None:
    """An example can be pasted into a designer as the sample its schema is made from."""
    assert shape(written) == shape(real.answers[name])


async def test_every_header_has_its_line(real: Gathered) -> None:
    """No more and no less than the app sends."""
    assert sorted(cells(section("Headers"))) == sorted(real.headers)


async def test_every_column_of_the_csv_has_its_line(real: Gathered) -> None:
    """In the order of the file."""
    assert cells(section("CSV")) == real.columns


def test_every_status_says_what_a_flow_does_next() -> None:
    """A flow branches on the status: it must know all of them, of requests and of users."""
    assert cells(section("What a flow does next")) == [status.value for status in RequestStatus]
    assert cells(section("The status of a user")) == [status.value for status in UserStatus]


def test_the_page_says_first_that_200_is_not_success() -> None:
    """The mistake that tools of this kind are known for."""
    assert "**200 is not success: branch on `status`.**" in PAGE.split("\n## ")[0]


def test_every_kind_of_refusal_has_its_line() -> None:
    """A caller may tell refusals apart by their type."""

    def kinds(of: type[Refused]) -> Iterator[str]:
        yield of.kind
        for narrower in of.__subclasses__():
            yield from kinds(narrower)

    written = set(cells(section("The type of a refusal")))
    assert written == {*kinds(Refused), "invalid-request", "internal-error"} - {Refused.kind}


def test_what_a_code_means_stands_in_one_place() -> None:
    """Two tables of codes would drift apart: this page leads to errors.md, which a test holds to the code."""
    assert "](errors.md)" in section("An error")
    told_there = set(STABLE_CODES) - {*RequestStatus, *UserStatus} - set(cells(section("The type of a refusal")))
    assert set(cells(PAGE)) & told_there == set()


def test_the_queries_ask_for_lines_the_app_writes() -> None:
    """A rule over a line that never comes would never fire."""
    code = "\n".join(path.read_text() for path in (ROOT / "revoke_core").rglob("*.py"))
    queries = re.findall(r"```kusto\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) == 2
    for name in re.findall(r"startswith '(\w+) '", "\n".join(queries)):
        (fields,) = re.findall(rf'logs\.event\(\s*"{name}",([^)]*)\)', code)
        assert "requestId=" in fields, name


def test_links_within_the_page_lead_to_a_heading() -> None:
    """As GitHub names headings."""
    names = [
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    ]
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= set(names)
