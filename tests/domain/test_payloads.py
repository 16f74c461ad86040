"""What other products send: exactly the users it names, in order, and never anybody else who stands in it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from payloads import (
    ADELE,
    LEAVERS,
    NEVER,
    NEVER_ID,
    SID,
    TENANT,
    account,
    alert,
    defender,
    entity,
    flat,
    incident,
    mailbox_evidence,
    risk_detection,
    risky_user,
    user_evidence,
    workflow,
)

from revoke_core.domain.entity_names import EntityNameKind, parse_entity_name
from revoke_core.domain.errors import GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.message import parse_message
from revoke_core.domain.payload_request import parse_payload
from revoke_core.domain.payloads.shapes import Shape
from revoke_core.domain.request import RequestLimits, RevocationRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = RequestLimits(max_users=1000, require_reason=False)
UPN = "adele@contoso.com"
MAIL = "mail:adele.vance@contoso.com"
IP = {"kind": "Ip", "properties": {"address": "203.0.113.42"}}


def unresolved(given: str) -> str:
    """How a row that cannot be resolved is written down here."""
    return f"?{given}"


def as_bytes(payload: Any) -> bytes:
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def named(request: RevocationRequest) -> list[str]:
    """The texts of the request; of unresolved ones only whom they are shown as."""
    found = []
    for text in request.users.texts:
        name = parse_entity_name(text)
        is_unresolved = name is not None and name.kind is EntityNameKind.UNRESOLVED
        found.append(unresolved(name.given) if is_unresolved else text)
    return found


def read(shape: str, payload: Any, **members: Any) -> RevocationRequest:
    return parse_payload(Shape(shape), as_bytes(payload), members, LIMITS)


def faults(shape: str, payload: Any, **members: Any) -> list[dict[str, str]]:
    with pytest.raises(InvalidRequest) as raised:
        read(shape, payload, **members)
    return raised.value.listed()


def lacks(request: RevocationRequest, place: int = 0) -> str:
    name = parse_entity_name(request.users.texts[place])
    assert name is not None
    return name.lacks


def never_in(request: RevocationRequest) -> bool:
    """Whether anybody who must never be revoked is among the users."""
    texts = " ".join(request.users.texts).lower()
    return any(name in texts for name in (NEVER, NEVER_ID, TENANT, "miriam"))


# The shape, what is sent, whom it names.
NAMED: dict[str, tuple[str, Any, list[str]]] = {
    "incident": (
        "sentinel-incident",
        incident(
            account(), IP, account(aadUserId="", accountName="svc-backup", ntDomain="CONTOSO", upnSuffix="", sid=SID)
        ),
        [ADELE, f"sid:{SID}"],
    ),
    "incident without entities": ("sentinel-incident", incident(), []),
    "incident, entities missing": ("sentinel-incident", incident(relatedEntities=None), []),
    "incident, only an address": ("sentinel-incident", incident(IP), []),
    "incident, null among the entities": ("sentinel-incident", incident(None, account()), [ADELE]),
    "incident, the same user twice": ("sentinel-incident", incident(account(), account()), [ADELE, ADELE]),
    "incident, id missing": ("sentinel-incident", incident(account(aadUserId=None)), [UPN]),
    "incident, id blank": ("sentinel-incident", incident(account(aadUserId=" \u200b")), [UPN]),
    "incident, id with blanks": ("sentinel-incident", incident(account(aadUserId=f" {ADELE}\n")), [ADELE]),
    "incident, id in capitals": ("sentinel-incident", incident(account(aadUserId=ADELE.upper())), [ADELE.upper()]),
    "incident, whole UPN in the name": (
        "sentinel-incident",
        incident(account(aadUserId=None, accountName="adele@contoso.com", upnSuffix="contoso.com")),
        [UPN],
    ),
    "incident, whole UPN and no suffix": (
        "sentinel-incident",
        incident(account(aadUserId=None, accountName="adele@contoso.com", upnSuffix=None)),
        [UPN],
    ),
    "incident, UPN before name and suffix": (
        "sentinel-incident",
        incident(account(aadUserId=None, userPrincipalName="adele.vance@contoso.com")),
        ["adele.vance@contoso.com"],
    ),
    "incident, mail alone": (
        "sentinel-incident",
        incident(account(aadUserId=None, upnSuffix=None, mail="adele.vance@contoso.com")),
        [MAIL],
    ),
    "incident, malformed id": (
        "sentinel-incident",
        incident(account(aadUserId="8f5d", sid=SID, displayName="Adele Vance")),
        [unresolved("Adele Vance")],
    ),
    "incident, an id that is no text": ("sentinel-incident", incident(account(aadUserId=5)), [unresolved("adele")]),
    "incident, only the tenant's and the directory's ids": (
        "sentinel-incident",
        incident(account(aadUserId=None, accountName=None, friendlyName="CONTOSO\\svc"), account(aadUserId=None)),
        [unresolved("CONTOSO\\svc"), UPN],
    ),
    "incident, domain and name": (
        "sentinel-incident",
        incident(account(aadUserId=None, upnSuffix=None, ntDomain="CONTOSO", displayName="Adele")),
        [unresolved("CONTOSO\\adele")],
    ),
    "incident, nothing at all": (
        "sentinel-incident",
        incident({"kind": "Account", "properties": {}}, {"kind": "Account", "properties": None}),
        [unresolved(f"/object/properties/relatedEntities/{place}") for place in (0, 1)],
    ),
    "incident, other case": (
        "sentinel-incident",
        {"OBJECT": {"Properties": {"RelatedEntities": [{"KIND": "account", "PROPERTIES": {"AADUSERID": ADELE}}]}}},
        [ADELE],
    ),
    "alert, entities as text": (
        "sentinel-alert",
        alert(json.dumps([flat(), {"Type": "ip", "Address": "::1"}])),
        [ADELE],
    ),
    "alert, entities as array": ("sentinel-alert", alert([flat(), {"Type": "host", "HostName": "pc"}]), [ADELE]),
    "alert, no entities": ("sentinel-alert", alert(None), []),
    "alert, blank entities": ("sentinel-alert", alert(""), []),
    "alert, empty text of an array": ("sentinel-alert", alert("[]"), []),
    "alert, entities alone": ("sentinel-alert", {"Entities": [flat()]}, [ADELE]),
    "alert, other case": ("sentinel-alert", {"entities": [{"type": "Account", "aaduserid": ADELE}]}, [ADELE]),
    "alert, whole UPN in Name": ("sentinel-alert", alert([flat(AadUserId="", Name="adele@contoso.com")]), [UPN]),
    "alert, name and suffix": ("sentinel-alert", alert([flat(AadUserId=None, Name=" adele ")]), [UPN]),
    "alert, UPN in its own member": (
        "sentinel-alert",
        alert([flat(AadUserId=None, UserPrincipalName=UPN, Name="x")]),
        [UPN],
    ),
    "alert, reference to a nested entity": (
        "sentinel-alert",
        alert(
            [
                {"$id": "1", "Type": "process", "Account": flat(**{"$id": "2"}), "Creator": flat(AadUserId=NEVER_ID)},
                {"$ref": "2"},
                {"$ref": "1"},
            ]
        ),
        [ADELE],
    ),
    "alert, reference to nothing": ("sentinel-alert", alert([{"$ref": "7"}]), [unresolved("$ref 7")]),
    "alert, reference to one of two": (
        "sentinel-alert",
        alert([flat(**{"$id": "1"}), flat(**{"$id": 1}, AadUserId=NEVER_ID, Type="host"), {"$ref": "1"}]),
        [ADELE, unresolved("$ref 1")],
    ),
    "alert, a reference to a reference": (
        "sentinel-alert",
        alert([{"$id": "1", "$ref": "2"}, {"$id": "2", "$ref": "1"}]),
        [],
    ),
    "entity": (
        "sentinel-entity",
        entity(Name="adele", UPNSuffix="contoso.com", AadUserId=None, FriendlyName="adele"),
        [UPN],
    ),
    "entity, the other spelling": ("sentinel-entity", entity(accountName="adele", upnSuffix="contoso.com"), [UPN]),
    "entity with an id": ("sentinel-entity", entity(AadUserId=ADELE), [ADELE]),
    "entity, no user": ("sentinel-entity", entity(kind="Ip", address="203.0.113.42"), []),
    "entity, only a friendly name": ("sentinel-entity", entity(FriendlyName="adele"), [unresolved("adele")]),
    "accounts": (
        "sentinel-accounts",
        {"Accounts": [flat(), {"Name": "svc-backup", "NTDomain": "CONTOSO", "Sid": SID}]},
        [ADELE, f"sid:{SID}"],
    ),
    "accounts, none": ("sentinel-accounts", {"Accounts": []}, []),
    "accounts, malformed SID": (
        "sentinel-accounts",
        {"Accounts": [{"Name": "svc", "NTDomain": "CONTOSO", "Sid": "S-1-X", "Mail": "adele.vance@contoso.com"}]},
        [unresolved("CONTOSO\\svc")],
    ),
    "defender": ("defender-alert", defender(user_evidence(), mailbox_evidence()), [ADELE, UPN]),
    "defender, no id": ("defender-alert", defender(user_evidence(azureAdUserId=None)), [UPN]),
    "defender, only a SID": (
        "defender-alert",
        defender(user_evidence(azureAdUserId="", userPrincipalName=None)),
        [f"sid:{SID}"],
    ),
    "defender, account and domain are not joined": (
        "defender-alert",
        defender(user_evidence(azureAdUserId=None, userPrincipalName=None, userSid=None, domainName="contoso.com")),
        [unresolved("contoso.com\\adele")],
    ),
    "defender, a mailbox with an account": (
        "defender-alert",
        defender(mailbox_evidence(userAccount={"azureAdUserId": ADELE}, upn="bob@contoso.com")),
        [ADELE],
    ),
    "defender, a mailbox with an address alone": ("defender-alert", defender(mailbox_evidence(upn="")), [MAIL]),
    "defender, the attacker too": ("defender-alert", defender(user_evidence() | {"roles": ["attacker"]}), [ADELE]),
    "defender, nobody": ("defender-alert", defender(), []),
    "defender, no account": (
        "defender-alert",
        defender({"@odata.type": "#MICROSOFT.GRAPH.SECURITY.UserEvidence", "userAccount": None}),
        [unresolved("/evidence/1")],
    ),
    "risky user": ("risky-users", risky_user(), [ADELE]),
    "risky user, id null": ("risky-users", risky_user(id=None), [UPN]),
    "risky user, nothing": ("risky-users", risky_user(id=None, userPrincipalName=""), [unresolved("Adele Vance")]),
    "risk detection": ("risky-users", risk_detection(), [ADELE]),
    "risk detection, its own id is never taken": ("risky-users", risk_detection(userId=None), [UPN]),
    "risk detection, neither": (
        "risky-users",
        risk_detection(userId=None, userPrincipalName=None),
        [unresolved("Adele Vance")],
    ),
    "risky users and detections": ("risky-users", {"value": [risky_user(), risk_detection(userId="")]}, [ADELE, UPN]),
    "risky users, none": ("risky-users", {"@odata.context": "x", "value": []}, []),
    "workflow": ("lifecycle-workflow", workflow(), [ADELE]),
    "workflow, no id": ("lifecycle-workflow", workflow(id=None), [UPN]),
    "workflow, mail": ("lifecycle-workflow", workflow(id="", userPrincipalName=" "), [MAIL]),
    "workflow, nothing": (
        "lifecycle-workflow",
        workflow(id=None, userPrincipalName=None, email=None),
        [unresolved("Adele Vance")],
    ),
    "csv": ("csv", LEAVERS, ["mail:adele@contoso.com", unresolved("Conor.O\u2019Neil@contoso.com"), unresolved("Bob")]),
    "csv, one column": ("csv", f"user\n{ADELE}\n\n adele@contoso.com \n", [ADELE, UPN]),
    "csv, commas": ("csv", f'displayName,userPrincipalName\r\n"Vance, Adele",{UPN}\r\n', [UPN]),
    "csv, tabs": ("csv", f"Name\tObject ID\tUPN\nAdele\t{ADELE}\t{UPN}\n\t\t{UPN}\n", [ADELE, UPN]),
    "csv, old Mac's line ends": ("csv", f"upn\r{UPN}\r", [UPN]),
    "csv, commas in a header with semicolons": ("csv", f'"user"; "a,b"\n{UPN};x\n', [UPN]),
    "csv, a short line": ("csv", f"upn;mail\n{UPN}\n", [UPN]),
    "csv, id before UPN before mail": ("csv", f"mail,upn,id\na@contoso.com,b@contoso.com,{ADELE}\n", [ADELE]),
    "csv, malformed id": ("csv", f"id,upn\n4711,{UPN}\n", [unresolved("4711")]),
    "csv, header alone": ("csv", "user\n", []),
    "csv, a line break in a field": ("csv", f'name,upn\n"Vance,\nAdele",{UPN}\n', [UPN]),
    "csv, a line without a user": ("csv", "upn,title\n,Chief\n", [unresolved("line 2")]),
    "csv, control characters for a name": ("csv", "upn\n\x07\n", [unresolved("line 2")]),
    "csv, a secret for a name": ("csv", "upn\nAccountKey=abcdefgh\n", [unresolved("AccountKey=[redacted]")]),
}
# The shape, what is sent, where it is wrong.
WRONG: dict[str, tuple[str, Any, list[str]]] = {
    "incident, an alert": ("sentinel-incident", alert([]), ["/object"]),
    "incident, no properties": (
        "sentinel-incident",
        {"object": {"id": "x", "properties": None}},
        ["/object/properties"],
    ),
    "incident, entities no array": (
        "sentinel-incident",
        incident(relatedEntities={"kind": "Account"}),
        ["/object/properties/relatedEntities"],
    ),
    "incident, an entity that is a text": (
        "sentinel-incident",
        incident("adele@contoso.com"),
        ["/object/properties/relatedEntities/0"],
    ),
    "incident, keys that collide": (
        "sentinel-incident",
        incident(account(AADUSERID=NEVER_ID)),
        ["/object/properties/relatedEntities/0/properties/AADUSERID"],
    ),
    "incident, an array": ("sentinel-incident", [incident()], [""]),
    "alert, an incident": ("sentinel-alert", incident(), ["/Entities"]),
    "alert, entities are no JSON": ("sentinel-alert", alert("adele@contoso.com"), ["/Entities"]),
    "alert, doubled keys in the text": ("sentinel-alert", alert('[{"Type": "a", "Type": "b"}]'), ["/Entities/Type"]),
    "alert, an object": ("sentinel-alert", alert({"Type": "account"}), ["/Entities"]),
    "entity, null": ("sentinel-entity", {"Entity": None}, ["/Entity"]),
    "entity, no kind": ("sentinel-entity", {"Entity": {"properties": {"AadUserId": ADELE}}}, ["/Entity/kind"]),
    "accounts, null": ("sentinel-accounts", {"Accounts": None}, ["/Accounts"]),
    "accounts, texts": ("sentinel-accounts", {"Accounts": [UPN]}, ["/Accounts/0"]),
    "defender, no evidence": ("defender-alert", {"id": "x", "title": "y"}, ["/evidence"]),
    "risky users, an incident": ("risky-users", incident(account()), [""]),
    "risky users, null": ("risky-users", {"value": None}, ["/value"]),
    "risky users, something else in the list": ("risky-users", {"value": [risky_user(), {"x": 1}]}, ["/value/1"]),
    "workflow, no subject": ("lifecycle-workflow", {"data": {"manager": {"id": NEVER_ID}}}, ["/data/subject"]),
    "an envelope": ("sentinel-entity", {"$content-type": "application/json", "$content": "e30="}, ["/$content"]),
    "csv, no column": ("csv", f"ManagerEmail;WorkerName\n{UPN};x\n", [""]),
    "csv, two of one meaning": ("csv", f"mail,Work Email\n{UPN},{UPN}\n", [""]),
    "csv, user and UPN": ("csv", f"user,upn\n{UPN},{UPN}\n", [""]),
    "csv, too many fields": ("csv", f"upn\n{UPN},x\n", [""]),
    "csv, an open quotation mark": ("csv", f'upn\n"{UPN}\n', [""]),
    "csv, delimiters that compete": ("csv", "user,a;user\n", [""]),
    "csv, delimiters of which one yields more": ("csv", "user,x;upn;y\n", [""]),
    "csv, JSON": ("csv", json.dumps({"users": [UPN]}), [""]),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_payload_names_these_users_and_no_others(case: str) -> None:
    """In order, also those who cannot be resolved; managers, owners, actors and tenants stand in nearly all of them."""
    shape, payload, users = NAMED[case]
    request = read(shape, payload)
    assert named(request) == users
    assert not never_in(request)


@pytest.mark.parametrize("case", NAMED)
def test_a_message_with_a_payload_is_the_same_request(case: str) -> None:
    """The body is a member of the message, of ``csv`` as a text; a text that holds JSON is read as well."""
    shape, payload, _ = NAMED[case]
    over_http = read(shape, payload, dryRun=True, exclude=["bob@contoso.com"], reason="leaver")
    for body in (payload, as_bytes(payload).decode()):
        members = {"dryRun": True, "exclude": ["bob@contoso.com"], "reason": "leaver", "requestedBy": "HR"}
        message = json.dumps({"shape": shape, "body": body} | members | {"idempotencyKey": "k"})
        request, claims = parse_message(message, LIMITS)
        assert request.digest() == over_http.digest()
        assert (request.dry_run, claims.requested_by, claims.idempotency_key) == (True, "HR", "k")


@pytest.mark.parametrize("case", WRONG)
def test_a_body_of_another_shape_is_refused_and_says_what_must_be_there(case: str) -> None:
    """Nobody is guessed from it; in a message the same faults stand below its body."""
    shape, payload, pointers = WRONG[case]
    assert [fault["pointer"] for fault in faults(shape, payload)] == pointers
    with pytest.raises(InvalidRequest) as raised:
        parse_message(json.dumps({"shape": shape, "body": payload}), LIMITS)
    assert [fault["pointer"] for fault in raised.value.listed()] == [f"/body{pointer}" for pointer in pointers]


def test_an_unresolved_row_says_what_it_lacks() -> None:
    """A person can look the account up: by what it is called, and why that was not enough."""
    assert "8f5d" in lacks(read("sentinel-incident", incident(account(aadUserId="8f5d"))))
    assert "AadUserId" in lacks(read("sentinel-accounts", {"Accounts": [{"Name": "svc"}]}))
    assert lacks(read("csv", LEAVERS), 1).endswith("holds quotation marks that are no part of the name; give it plain")
    assert "column of mail" in lacks(read("csv", LEAVERS), 2)


REASONS = {
    "Incident 1042: Token replay": ("sentinel-incident", incident(account())),
    "Incident 1042": ("sentinel-incident", incident(account(), title=" ")),
    "Impossible travel": ("sentinel-alert", alert([flat()], AlertDisplayName="Impossible travel")),
    "Token replay": ("defender-alert", defender(user_evidence(), incidentId=None)),
    "Lifecycle workflow Real-time leaver": ("lifecycle-workflow", workflow()),
}


@pytest.mark.parametrize("reason", REASONS)
def test_the_reason_is_the_payloads_unless_one_is_given(reason: str) -> None:
    """Who reads the log finds the incident; it is cut and redacted like any other, and satisfies REQUIRE_REASON."""
    shape, payload = REASONS[reason]
    strict = RequestLimits(max_users=10, require_reason=True)
    assert parse_payload(Shape(shape), as_bytes(payload), {}, strict).reason == reason
    assert read(shape, payload, reason="INC-7").reason == "INC-7"
    assert read(shape, payload, reason=None).reason == reason


def test_a_payloads_reason_is_cut_and_redacted() -> None:
    """A title of any length holds no secret in the log."""
    title = "AccountKey=abcdefgh== " + "x" * 3000
    found = read("sentinel-incident", incident(account(), title=title)).reason
    assert found is not None
    assert len(found) == 1000
    assert "abcdefgh" not in found
    with pytest.raises(InvalidRequest):
        parse_payload(Shape.CSV, f"upn\n{UPN}".encode(), {}, RequestLimits(max_users=10, require_reason=True))


def test_all_faults_are_named_at_once() -> None:
    """Those of the payload and those of what stands beside it."""
    assert [fault["pointer"] for fault in faults("sentinel-entity", {}, exclude=["x"], reason=5)] == [
        *("/Entity", "/exclude/0", "/reason")
    ]
    with pytest.raises(InvalidRequest) as raised:
        parse_message(json.dumps({"shape": "csv", "users": [UPN], "body": {}}), LIMITS)
    assert [fault["pointer"] for fault in raised.value.listed()] == ["/body", "/users"]
    with pytest.raises(InvalidRequest, match="known are sentinel-incident"):
        parse_message(json.dumps({"shape": "sentinel", "body": {}}), LIMITS)


@pytest.mark.parametrize(
    ("encoding", "wrong"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", "UTF-16"), ("utf-16-be", "UTF-16"), ("latin-1", "Latin-1")],
)
def test_a_list_is_utf_8_and_another_encoding_is_named(encoding: str, wrong: str) -> None:
    """A wrong letter in a name would be another user's, or nobody's."""
    text = f"upn;name\n{UPN};Ad\u00e8le\n"
    if wrong:
        with pytest.raises(InvalidRequest, match=wrong):
            parse_payload(Shape.CSV, text.encode(encoding), {}, LIMITS)
    else:
        assert named(parse_payload(Shape.CSV, text.encode(encoding), {}, LIMITS)) == [UPN]


def test_a_line_that_is_wrong_is_named_by_its_number() -> None:
    """Lines within a field count, as an editor counts them."""
    text = f'name,upn\n"Vance,\nAdele",{UPN}\nx,{UPN},y\n'
    assert faults("csv", text)[0]["detail"].startswith("line 4 has 3 fields and the header 2")


@pytest.mark.parametrize("name", ["ManagerEmail", "manager", "alternateEmailAddress", "reporter", "createdBy", "id2"])
def test_no_other_column_names_users(name: str) -> None:
    """The list of columns is closed."""
    assert named(read("csv", f"upn,{name}\n{UPN},never@contoso.com\n")) == [UPN]
    assert "names no column of users" in faults("csv", f"{name}\nnever@contoso.com\n")[0]["detail"]


@pytest.mark.parametrize("name", ["Work Email", "WORK_EMAIL", "work-email", "E-Mail", " mail ", "Email Address"])
def test_a_column_is_known_however_its_name_is_written(name: str) -> None:
    """Case, blanks, hyphens and underscores differ from system to system."""
    assert named(read("csv", f"{name};x\nadele.vance@contoso.com;y\n")) == [MAIL]


def test_more_users_than_a_request_may_have_are_refused() -> None:
    """By the same guard as a list of names, whatever names them."""
    few = RequestLimits(max_users=2, require_reason=False)
    for shape, payload in (
        ("csv", "upn\n" + f"{UPN}\n" * 3),
        ("sentinel-incident", incident(*[account()] * 3)),
    ):
        with pytest.raises(GuardRefused):
            parse_payload(Shape(shape), as_bytes(payload), {}, few)
        with pytest.raises(GuardRefused):
            parse_message(json.dumps({"shape": shape, "body": payload}), few)


def test_a_real_incident_fits_the_bounds_and_a_huge_one_is_refused_unparsed() -> None:
    """Sentinel keeps at most 500 entities of an incident; a hundred thousand are nobody's."""
    entities = [account(additionalData={"groups": ["a"], "more": [{"x": [1]}]}) for _ in range(500)]
    assert len(read("sentinel-incident", incident(*entities)).users) == 500
    huge = incident(*[{"kind": "Account"}] * 100_000)
    assert "20,000 arrays" in faults("sentinel-incident", huge)[0]["detail"]
    hidden = json.dumps({"Entities": 0}).replace("0", '"[' + "\\u007b\\u007d," * 30_000 + '{}]"')
    assert "20,000 arrays" in faults("sentinel-alert", hidden)[0]["detail"]


def test_deep_nesting_breaks_nothing() -> None:
    """Where it is parsed it is read, where it is too deep it is a fault."""
    deep = '{"Entities": [{"$ref": "1"}, ' + '{"a":' * 900 + '{"$id": "1", "Type": "account"}' + "}" * 900 + "]}"
    assert named(read("sentinel-alert", deep)) == [unresolved("/Entities/0")]
    for shape in Shape:
        assert faults(shape, "[" * 15_000)
    assert faults("sentinel-alert", alert("[" * 15_000))


def test_lists_without_end_are_refused() -> None:
    """Neither a line nor empty lines fill the memory."""
    with pytest.raises(TooLarge):
        read("csv", "upn\n" + "x" * (16 * 1024 * 1024))
    assert "longer than" in faults("csv", "upn\n" + "," * 5_000_000)[0]["detail"]
    assert "one too many" in faults("csv", "upn\n" + "\n" * 5_000_000)[0]["detail"]


ODD: list[Any] = [None, "", " ", "x\ty\nz", "\ud800", 5, -1.5, True, [], {}, [[]], [None, "a"], {"a": {}}, "x" * 5000]


def changed(value: Any, odd: Any) -> Iterator[Any]:
    """A payload in which one part after the other is something else."""
    yield odd
    for place in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        for part in changed(value[place], odd):
            copy = value.copy()
            copy[place] = part
            yield copy


@pytest.mark.parametrize("shape", [shape for shape in Shape if shape is not Shape.CSV])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_whatever_a_part_of_a_payload_is_nobody_else_is_named(shape: Shape, odd: Any) -> None:
    """Each part of each sample in turn: it is read, or refused in words, and what is read can be stored and shown."""
    samples = [payload for of, payload, _ in NAMED.values() if of == shape and not isinstance(payload, str)]
    for sample in samples[:6]:
        for payload in changed(sample, odd):
            try:
                request = parse_payload(shape, json.dumps(payload).encode(), {}, LIMITS)
            except InvalidRequest:
                continue
            assert not never_in(request)
            for text in request.users.texts:
                assert text.replace("\t", "", 1).strip().isprintable()
                assert text.encode()
                assert len(text) < 1000


@pytest.mark.parametrize("form", ["base64", "utf-16", "text"])
def test_a_message_with_a_payload_comes_in_every_form(form: str) -> None:
    """As any other message: plain, base64 of it, or JSON within a JSON text."""
    text = json.dumps({"shape": "csv", "body": f"upn\n{UPN}\n"})
    forms = {
        "base64": lambda: base64.b64encode(text.encode()).decode(),
        "utf-16": lambda: base64.b64encode(text.encode("utf-16")).decode(),
        "text": lambda: json.dumps(text),
    }
    assert named(parse_message(forms[form](), LIMITS)[0]) == [UPN]


def test_of_many_faults_a_hundred_are_listed_and_the_rest_is_counted() -> None:
    """Of a payload as of any other body."""
    listed = faults("sentinel-accounts", {"Accounts": [UPN] * 250})
    assert (len(listed), listed[-1]["detail"]) == (101, "150 more")
