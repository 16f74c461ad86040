"""The committed descriptions are what the tables say, valid by public validators, and served as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV30SpecValidator
from outages import house

from local.openapi.cli import DOCUMENT, SERVED, SWAGGER, differences, main
from local.packaging.app_files import app_files
from local.processes import ROOT
from revoke_core.entrypoints.http.call import HttpCall
from revoke_core.entrypoints.http.description import description

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read(name: str) -> Any:
    return json.loads((ROOT / name).read_text())


def test_the_committed_files_are_what_the_tables_say(capsys: pytest.CaptureFixture[str]) -> None:
    """A member that is added to a table alone fails here and in ``make check``, with the command that writes it."""
    assert differences(ROOT) == []
    assert main([]) == 0
    assert capsys.readouterr().err == ""


def test_a_stale_file_is_shown_with_the_command_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check fails, shows what differs, and writing it anew mends it."""
    (tmp_path / DOCUMENT).parent.mkdir()
    (tmp_path / DOCUMENT).write_text((ROOT / DOCUMENT).read_text().replace("expectedUsers", "mostUsers"))
    assert main([], tmp_path) == 1
    shown = capsys.readouterr().err
    assert "expectedUsers" in shown
    assert "python -m local openapi --write" in shown
    assert main(["--write"], tmp_path) == 0
    assert main([], tmp_path) == 0


def test_public_validators_find_nothing() -> None:
    """OpenAPI 3.0.1 and Swagger 2.0, by their published schemas and rules."""
    assert read(DOCUMENT)["openapi"] == "3.0.1"
    assert [str(fault) for fault in OpenAPIV30SpecValidator(read(DOCUMENT)).iter_errors()] == []
    assert [str(fault) for fault in OpenAPIV2SpecValidator(read(SWAGGER)).iter_errors()] == []


async def test_the_app_serves_the_committed_document_with_its_own_address(azurite: str) -> None:
    """Anonymous, the same members, and as server what PUBLIC_BASE_URL says, whatever host the call names."""
    description.cache_clear()
    async with house(azurite, PUBLIC_BASE_URL="https://revoker.contoso.com") as whole:
        assert description.cache_info().currsize == 0, "read before anybody asked for it"
        forged = {"host": "evil.contoso.com", "x-forwarded-host": "evil.contoso.com", "x-original-url": "/evil"}
        answer = await whole.app.read.description(HttpCall(headers=forged))
        served = json.loads(answer.body)
    description.cache_clear()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert served.pop("servers") == [{"url": "https://revoker.contoso.com/api"}]
    committed = read(DOCUMENT)
    committed.pop("servers")
    assert served == committed


def test_the_document_is_in_the_package() -> None:
    """What the app reads when it is asked is uploaded with it."""
    assert SERVED in app_files(ROOT)
