from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from expansion import FOLDER, ROOT, SETS, bicep_files, document, resources

from local.bicep import PLACE, CheckFailedError, compare, find_compiler, main, template_facts

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = ROOT / "infra" / "bicepconfig.json"
SECRETS = re.compile(
    r"listKeys|listAccountSas|listServiceSas|listSecrets|listCredentials|AccountKey|SharedKey(?!Access)|sharedAccess"
    r"|DefaultEndpointsProtocol|passwordCredentials|clientSecret|@secure|\bsig=|InstrumentationKey",
    re.IGNORECASE,
)
# Every rule of Bicep 0.49.2, one a line.
RULES = (FOLDER / "linter-rules.txt").read_text().split()


@pytest.mark.parametrize("path", bicep_files(), ids=lambda path: path.stem)
def test_no_source_knows_a_secret(path: Path) -> None:
    """No key is read, none is handed on, and there is not even a parameter for one."""
    assert not SECRETS.findall(path.read_text())


@pytest.mark.parametrize("name", SETS)
def test_no_expansion_holds_a_secret(name: str) -> None:
    """Neither in a setting nor in an output."""
    assert not SECRETS.findall(json.dumps(document(name)).replace("allowSharedKeyAccess", ""))


@pytest.mark.parametrize("name", SETS)
def test_expansions_are_complete(name: str) -> None:
    """Every name and place is a value: no expression is left where a resource is identified."""
    assert document(name)["diagnostics"] == []
    for resource in resources(name):
        identified = [resource.get(key, "") for key in ("id", "name", "location")]
        # What only the cloud itself knows: the domain of its storage.
        open_ends = [text for text in identified if "[" in text and "environment().suffixes.storage" not in text]
        assert not open_ends


def test_every_linter_rule_is_named_at_error() -> None:
    """The compiler says nothing about a misspelt rule; the one that is off has its reason beside it."""
    text = CONFIG.read_text()
    config = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    levels = {rule: given["level"] for rule, given in config["analyzers"]["core"]["rules"].items()}
    assert sorted(levels) == sorted(RULES)
    assert [rule for rule, level in levels.items() if level != "error"] == ["use-description-vars"]
    assert levels["use-description-vars"] == "off"
    assert re.search(r"// Off: .+\n\s+\"use-description-vars\"", text)
    assert config["extensions"] == {
        "microsoftGraphV1": "br:mcr.microsoft.com/bicep/extensions/microsoftgraph/v1.0:1.0.0"
    }
    assert set(config) == {"extensions", "analyzers"}


@pytest.mark.parametrize("path", bicep_files(), ids=lambda path: path.stem)
def test_a_silenced_rule_says_why(path: Path) -> None:
    """Each suppression is for one line, with its reason on it."""
    text = path.read_text()
    assert "#disable-diagnostics" not in text
    for line in re.findall(r"#disable-next-line.*", text):
        assert re.search(r"#disable-next-line [\w-]+ // \w.{20,}", line), line


def test_no_snapshot_lies_where_azd_would_delete_it() -> None:
    """The tool makes and removes a file of this name."""
    assert not (ROOT / "infra" / "main.snapshot.json").exists()


def test_roles_come_before_the_grant_and_the_grant_before_the_site() -> None:
    """A Graph token that is asked for too early is cached for a day without its permissions."""
    waits = document("template")["waitsFor"]
    assert {"identity", "storage"} <= set(waits["access"])
    assert {"identity", "access"} <= set(waits["grant"])
    assert {"identity", "access", "grant", "entra", "storageEndpoints", "monitoring"} <= set(waits["site"])


def test_the_network_is_ready_before_what_needs_it() -> None:
    """A host that cannot reach its storage does not start."""
    waits = document("template")["waitsFor"]
    assert {"storage", "virtualNetwork"} <= set(waits["storageEndpoints"])
    assert "site" in waits["siteEndpoint"]


def test_a_grant_that_is_left_out_takes_no_other_order_with_it() -> None:
    """The site waits for the roles by itself, for a module that is left out no longer waits for anything."""
    assert "access" in document("template")["waitsFor"]["site"]


def test_each_set_has_its_expansion_and_each_expansion_its_set() -> None:
    """Nothing is tested that cannot be made again."""
    made_from = [*(FOLDER / "sets").glob("*.bicepparam"), ROOT / "infra" / "main.bicepparam"]
    assert sorted(path.stem for path in made_from) == sorted(SETS)
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted([*SETS, "template"])


def test_the_file_of_azd_makes_the_default_when_nothing_is_set() -> None:
    """An empty environment changes nothing but to say that revoking is not paused."""
    given = json.dumps(document("main")["predictedResources"], indent=1).replace('"REVOKING_PAUSED": "false"', "")
    wanted = json.dumps(document("default")["predictedResources"], indent=1)
    assert sorted(given.replace(",", "").split()) == sorted(wanted.replace(",", "").split())


def test_the_place_of_the_expansions_is_given_whole() -> None:
    """Left out, one of these would leave expressions where values belong."""
    flags = {"--subscription-id", "--tenant-id", "--resource-group", "--location", "--deployment-name"}
    assert set(PLACE[::2]) == flags


def test_a_changed_expansion_fails_the_check() -> None:
    """And says where, and how to take it over."""
    results = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    compare(results)
    results["default.json"] = results["default.json"].replace('"TLS1_2"', '"TLS1_0"')
    with pytest.raises(CheckFailedError, match=r"(?s)TLS1_0.*--write"):
        compare(results)


def test_a_missing_expansion_fails_the_check() -> None:
    """A set that nobody expanded proves nothing."""
    results = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    with pytest.raises(CheckFailedError, match=r"new\.json"):
        compare(results | {"new.json": "{}\n"})


def test_the_template_is_read_for_what_waits_for_what() -> None:
    """Only modules are steps of the deployment."""
    template = {
        "parameters": {"a": {"type": "string", "defaultValue": "x"}, "b": {"type": "string"}},
        "outputs": {"o": {}},
        "resources": {
            "first": {"type": "Microsoft.Resources/deployments"},
            "then": {"type": "Microsoft.Resources/deployments", "dependsOn": ["first"]},
            "other": {"type": "Microsoft.Storage/storageAccounts"},
        },
    }
    assert template_facts(template) == {
        "parameters": {"a": "x", "b": None},
        "outputs": ["o"],
        "waitsFor": {"first": [], "then": ["first"]},
    }


@pytest.mark.skipif(find_compiler() is None, reason="there is no Bicep compiler on this machine")
def test_the_committed_expansions_are_the_ones_of_the_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    """Format, linter and every expansion, by the real compiler."""
    assert main([]) == 0, capsys.readouterr().err


def test_without_a_compiler_the_check_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One clear line, and no failure."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("local.bicep.ROOT", tmp_path / "project")
    assert os.environ["PATH"] == str(tmp_path)
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Bicep: skipped")
