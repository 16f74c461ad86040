"""What people send by mistake, named: each sentence says what is there and shows what to send instead.

Only texts that are refused anyway come here, so these rules decide nothing; the first that applies speaks.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from revoke_core.domain.identifiers import BLANKS, USER_FORM, is_object_id, names_user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LONGEST: Final = 2000
EXAMPLE_UPN: Final = "adele@contoso.com"
_BODY: Final = '{"user": "adele@contoso.com"}'
_QUOTES: Final = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_HEX32: Final = re.compile(r"[0-9a-fA-F]{32}")
_SID: Final = re.compile(r"S-1-\d+(?:-\d+){1,14}", re.IGNORECASE)
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
_USERS: Final = '{"users": ["adele@contoso.com", "bob@contoso.com"]}'

# What is looked for, and how the sentence goes on that names it.
_FILTER_RULES: Final = (
    (re.compile(f"[{_QUOTES}]"), "holds typographic quotation marks; OData takes plain single ones"),
    (re.compile('"'), "holds double quotation marks; OData takes single ones"),
    (re.compile(r"==|&&|\|\|"), "is not OData; write eq, and, or instead of ==, &&, ||"),
)
_BODY_RULES: Final = (
    (re.compile(r"\A[{\[]\s*'"), f"has single quotation marks; JSON takes double ones: {_BODY}"),
    (
        re.compile(rf"\A[{{\[]\s*[{_QUOTES}]"),
        f"has typographic quotation marks, as word processors write them; JSON takes plain ones: {_BODY}",
    ),
    (re.compile(r"\A\{\s*[A-Za-z_$]\w*\s*:"), f"has a name without quotation marks; in JSON: {_BODY}"),
    (
        re.compile(r"\A[A-Za-z_$][\w.$-]{0,60}=[^=&\s{][^&\s{]*(?:&|\Z)"),
        f"is a form (name=value), not JSON; with curl: -d '{_BODY}'",
    ),
    (re.compile(r"\A<"), f"is XML or HTML, not JSON; send {_BODY}"),
    (
        re.compile(r"\A[A-Za-z0-9+/\r\n]{16,}={0,2}\Z"),
        f"looks like base64; decode it first, and over HTTP send the JSON itself: {_BODY}",
    ),
    (re.compile(r"\A[^{\[\"\n]+\n[^{\[\"]"), f"is a list of lines (CSV?), not JSON; send {_USERS}"),
    (re.compile(r"\A[^{\[\"]+[;,]"), f"is a list of names, not JSON; send {_USERS}"),
)

# Other names of a field, in lower case without separators.
_SYNONYMS: Final = {
    "user": (
        *("upn", "userprincipalname", "username", "userid", "id", "objectid", "email", "mail", "account", "login"),
        *("principal", "accountname"),
    ),
    "users": ("upns", "userids", "ids", "objectids", "emails", "accounts", "members", "userprincipalnames"),
    "groups": ("group", "groupid", "groupids", "groupname"),
    "filter": ("query", "odata", "where"),
    "reason": ("comment", "comments", "justification", "description", "note", "ticket", "message"),
    "exclude": ("except", "exclusions", "excluded", "excludeusers"),
    "expectedUsers": ("expected", "expectedcount", "count", "usercount"),
    "dryRun": ("whatif", "simulate", "test", "preview"),
    "verify": ("prove", "check", "confirm"),
    "idempotencyKey": ("key", "requestid", "messageid"),
    "requestedBy": ("sender", "source", "requester", "by"),
}


def user_mistake(text: str) -> str:
    """What is wrong with a text that should name a user."""
    if len(text) > _LONGEST:
        return USER_FORM
    trimmed = text.strip(BLANKS)
    return next((detail for rule in _USER_RULES if (detail := rule(trimmed))), USER_FORM)


def field_mistake(name: str, allowed: Sequence[str]) -> str:
    """What an unknown field may have been meant for, and which there are."""
    plain = re.sub(r"[\s_$.-]", "", name[:100]).lower()
    meant = next((known for known in allowed if known.lower() == plain), None)
    meant = meant or next((known for known in allowed if plain in _SYNONYMS.get(known, ())), None)
    close = difflib.get_close_matches(plain, [known.lower() for known in allowed], 1, 0.75)
    meant = meant or next((known for known in allowed if close and known.lower() == close[0]), None)
    known = ", ".join(allowed)
    return (
        f"is not a known field; did you mean {meant}? Known are {known}"
        if meant
        else (f"is not a known field; known are {known}")
    )


def filter_mistake(text: str) -> str | None:
    """What is wrong with a text that should be an OData filter, as far as that can be said without Graph."""
    if text.lower().startswith(("$filter=", "?$filter=", "filter=", "$filter ")):
        return "begins with $filter=; give only what stands behind it: department eq 'HP'"
    # What stands in a literal may be anything.
    outside = _LITERAL.sub("", text)
    return next((f"{wrong}: department eq 'HP'" for found, wrong in _FILTER_RULES if found.search(outside)), None)


def body_mistake(body: bytes) -> str | None:
    """What a body that is no JSON is instead; ``None`` when nothing is recognised."""
    if is_utf16(body):
        return f"the body is UTF-16; send it as UTF-8: {_BODY}"
    text = body[:_LONGEST].decode("utf-8", "replace").strip(BLANKS)
    if names_user(text):
        return f"the body is a bare name; send JSON: {_BODY}"
    return next((f"the body {wrong}" for found, wrong in _BODY_RULES if found.search(text)), None)


def is_utf16(body: bytes) -> bool:
    """Whether a body is UTF-16, as Windows PowerShell and Excel's *Unicode text* write it."""
    odd, even = body[1:40:2], body[0:40:2]
    return body.startswith((b"\xff\xfe", b"\xfe\xff")) or max(odd.count(0), even.count(0)) > len(odd) // 2


def _invisible(text: str) -> str | None:
    for character in text:
        is_hidden = unicodedata.category(character) in ("Cf", "Cc", "Zl", "Zp", "Cs") or (
            character != " " and character.isspace()
        )
        if is_hidden:
            return f"holds an invisible character (U+{ord(character):04X}); type the name anew: {EXAMPLE_UPN}"
    return None


def _quoted(text: str) -> str | None:
    if any(quote in text for quote in _QUOTES) or (text[:1] in "\"'" and text[-1:] in "\"'" and len(text) > 1):
        return f"holds quotation marks that are no part of the name; give it plain: {EXAMPLE_UPN}"
    return None


def _envelope(text: str) -> str | None:
    if text.lower().startswith("mailto:"):
        return f"begins with mailto:; give the user principal name alone: {EXAMPLE_UPN}"
    if re.fullmatch(r"[^<>]*<[^<>]+>", text):
        return f"is a display name with an address in angle brackets; give what is inside them alone: {EXAMPLE_UPN}"
    if "://" in text:
        return f"is a URL; give the user principal name or the object id alone: {EXAMPLE_UPN}"
    return None


def _guid(text: str) -> str | None:
    if is_object_id(text.strip("{}()")):
        return "is an object id in brackets; give it without them: 8f5d7f3e-0000-4000-8000-000000000001"
    if _HEX32.fullmatch(text):
        return "is an object id without its hyphens; write it 8-4-4-4-12: 8f5d7f3e-0000-4000-8000-000000000001"
    return None


def _windows(text: str) -> str | None:
    if _SID.fullmatch(text):
        return f"is a SID; give the user's object id or user principal name: {EXAMPLE_UPN}"
    if "\\" in text:
        return f"is a Windows name (DOMAIN\\user); give the user principal name: {EXAMPLE_UPN}"
    return None


def _several(text: str) -> str | None:
    parts = [part for part in re.split(r"[;,|\s]+", text) if part]
    if len(parts) > 1 and sum("@" in part or is_object_id(part) for part in parts) > 1:
        return 'holds several names; give each as a text of its own: ["adele@contoso.com", "bob@contoso.com"]'
    if text.endswith((";", ",", ".")):
        return f"ends with a punctuation mark; give the name alone: {EXAMPLE_UPN}"
    return None


def _address(text: str) -> str | None:
    local, at, domain = text.rpartition("@")
    rules = (
        (not text, "is blank; give an object id or a user principal name"),
        (not at, "has no @ (a display or sign-in name is not enough); a user principal name is name@domain"),
        ("@" in local, "has more than one @; a user principal name has one"),
        (not local, "has nothing before the @; a user principal name is name@domain"),
        ("." not in domain, "has a domain without a dot; give the whole domain"),
        (not text.isascii(), "holds letters that no user principal name has; copy it from the user's page in Entra"),
        (" " in text, "holds a blank; a user principal name has none"),
    )
    return next((f"{wrong}: {EXAMPLE_UPN}" for is_wrong, wrong in rules if is_wrong), None)


_USER_RULES: Final[tuple[Callable[[str], str | None], ...]] = (
    *(_several, _envelope, _quoted, _invisible, _guid, _windows, _address),
)
