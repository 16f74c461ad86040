import csv
import io

import pytest

from revoke_core.domain.user_state import UserRow, UserStatus
from revoke_core.entrypoints.http import render


@pytest.mark.parametrize("start", [*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_of_a_csv_starts_as_a_formula(start: str) -> None:
    """A spreadsheet runs such a cell; in some languages it takes the full-width signs for it too."""
    row = UserRow(position=0, given=f"{start}cmd@contoso.com", status=UserStatus.FAILED)
    (_, cells) = csv.reader(io.StringIO(render.users_csv([row]), newline=""))
    assert cells[0] == f"'{row.given}"
