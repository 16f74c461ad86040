"""``csv``: a list of users as HR systems, Entra's own exports and Excel write it, one user in each line.

The first line names the columns. Only the names below are known, whatever their case, blanks, hyphens and underscores:
a column of managers, reporters or second addresses is never read.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import Fault, InvalidRequest
from revoke_core.domain.identifiers import BLANKS, is_object_id
from revoke_core.domain.payloads.account import Account
from revoke_core.domain.payloads.named import Named
from revoke_core.domain.redaction import redacted, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USER, ID, UPN, MAIL, SHOWN = "user", "id", "upn", "mail", "shown"
# The names of columns, written as they are compared; docs/payloads.md lists them.
COLUMNS: Final = {
    USER: ("user", "users"),
    ID: ("id", "objectid", "userobjectid", "entraobjectid", "aadobjectid"),
    UPN: ("upn", "userprincipalname"),
    MAIL: ("mail", "email", "emailaddress", "mailaddress", "workemail", "workmail", "primarysmtpaddress"),
    SHOWN: ("displayname", "name", "fullname", "workername", "employeename"),
}
_MEANINGS: Final = {name: meaning for meaning, names in COLUMNS.items() for name in names}
_DELIMITERS: Final = ",;\t"
_KNOWN: Final = "user, userPrincipalName, upn, id, objectId, mail, email, Work Email"
_LONGEST_LINE: Final = 64 * 1024
_MOST_LINES: Final = 1_000_000
_LISTED: Final = 20


def read(text: str, max_users: int) -> Named:
    """The users of all lines that are not empty, of too many the first ``max_users`` and one.

    ``InvalidRequest`` where the text is no such list.
    """
    first, header, delimiter = _header(text)
    columns = _columns(first, header)
    rows = _rows(text, delimiter)
    next(rows)
    users: list[str] = []
    for line, row in rows:
        if len(row) > len(header):
            more = f"has {len(row)} fields and the header {len(header)}"
            raise _wrong(line, f"{more}; put quotation marks around a field that holds the delimiter")
        fields = {meaning: row[place].strip(BLANKS) for meaning, place in columns.items() if place < len(row)}
        users.append(_text(fields, line, [name for name in columns if name != SHOWN]))
        if len(users) > max_users:
            break
    return Named(users)


def column_meaning(name: str) -> str | None:
    """What a column of this name holds; ``None`` for one that is not read."""
    return _MEANINGS.get(re.sub(r"[\s_.-]", "", name.strip(BLANKS)).lower())


def _header(text: str) -> tuple[int, list[str], str]:
    """The header's line, its names, and what stands between them: comma, semicolon or tab, whichever yields known ones.

    A header that yields known names in two ways could name another column than is meant.
    """
    found: dict[tuple[str, ...], tuple[int, str]] = {}
    for delimiter in _DELIMITERS:
        try:
            line, names = next(_rows(text, delimiter), (1, []))
        except InvalidRequest:
            # Quotation marks that another delimiter explains.
            continue
        if any(column_meaning(name) not in (None, SHOWN) for name in names):
            found.setdefault(tuple(names), (line, delimiter))
    if not found:
        shown = short(redacted(text[:_LONGEST_LINE].strip(BLANKS).split("\n", 1)[0].strip()))
        raise _wrong(1, f"names no column of users; the first line must name one of {_KNOWN}; it is {shown!r}")
    if len(found) > 1:
        raise _wrong(1, "can be read in two ways; put one of comma, semicolon or tab between all its columns")
    ((names_found, (line, delimiter)),) = found.items()
    return line, [*names_found], delimiter


def _columns(line: int, header: Sequence[str]) -> dict[str, int]:
    """Where each meaning stands; two columns of one meaning are a fault, for no rule could tell which is meant."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        if meaning := column_meaning(name):
            places.setdefault(meaning, []).append(place)
    if USER in places:
        # It holds what either of them may hold.
        places[USER] += places.pop(ID, []) + places.pop(UPN, [])
    for meaning, several in places.items():
        if len(several) > 1 and meaning != SHOWN:
            names = " and ".join(repr(short(header[place].strip(BLANKS), 40)) for place in several[:_LISTED])
            raise _wrong(line, f"has several columns of one meaning ({names}); leave one of them")
    return {meaning: several[0] for meaning, several in places.items()}


def _text(fields: dict[str, str], line: int, columns: list[str]) -> str:
    """The text for a line; what the file holds is shown as it stands there, a person's name only where that is all."""
    user, user_id, upn, mail = (fields.get(meaning) or None for meaning in (USER, ID, UPN, MAIL))
    if user and is_object_id(user):
        user_id = user
    return Account(
        object_id=user_id,
        upn=user or upn,
        mail=mail,
        shown=() if user or user_id or upn or mail else (fields.get(SHOWN),),
        place=f"line {line}",
        wanted="value in a column of " + " or ".join(columns),
    ).text()


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that hold anything, each with its number."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(field.strip(BLANKS) for field in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise _wrong(reader.line_num, f"is no CSV: {error}") from None


def _lines(text: str) -> Iterator[str]:
    """Physical lines within bounds: a reader makes a text of every field of a line."""
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        if len(line) > _LONGEST_LINE:
            raise _wrong(number, f"is longer than {_LONGEST_LINE:,} characters")
        if number > _MOST_LINES:
            raise _wrong(number, f"is one too many; at most {_MOST_LINES:,} are read")
        yield line


def _wrong(line: int, detail: str) -> InvalidRequest:
    return InvalidRequest([Fault("", f"line {line} {detail}")])
