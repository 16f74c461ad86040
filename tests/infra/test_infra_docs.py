"""The page on deployment says what the templates say."""

from __future__ import annotations

import json
import re

import pytest
from expansion import NAMES, ROOT, bicep_files, document

PAGE = (ROOT / "docs" / "deploy.md").read_text()
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def table(header: str) -> list[list[str]]:
    """The cells of the rows below a header."""
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code(cell: str) -> str:
    """The first thing in code style."""
    return re.findall(r"`([^`]*)`", cell)[0]


def test_every_parameter_is_listed_with_its_default() -> None:
    """And nothing is listed that is none."""
    listed = {code(name): code(default) for name, default, _ in table("| parameter | default |")}
    wanted = {}
    for name, value in document("template")["parameters"].items():
        is_text = isinstance(value, str) and value != ""
        wanted[name] = str(value).strip("[]") if is_text else json.dumps(value)
    assert listed == wanted


def test_every_output_is_listed() -> None:
    """Under the name that azd stores it by."""
    assert sorted(code(row[0]) for row in table("| output | what |")) == document("template")["outputs"]


def test_every_member_of_the_settings_is_listed_with_its_app_setting() -> None:
    """As the template maps them."""
    listed = {code(member): code(setting) for member, setting in table("| member | app setting |")}
    template = (ROOT / "infra" / "main.bicep").read_text()
    pairs = re.findall(r"^  ([A-Z0-9_a-z]+): .*settings\.\?(\w+)", template, re.MULTILINE)
    mapped = {member: name for name, member in pairs}
    declared = re.search(r"type AppSettings = \{(.*?)\n\}", (ROOT / "infra" / "types.bicep").read_text(), re.DOTALL)
    assert declared
    assert sorted(listed) == sorted(re.findall(r"^  (\w+): ", declared.group(1), re.MULTILINE))
    assert listed == mapped


def test_every_variable_is_listed_with_what_it_sets() -> None:
    """What `azd env set` takes is what the parameter file reads."""
    source = (ROOT / "infra" / "main.bicepparam").read_text()
    read = dict(re.findall(r"^var (\w+) = readEnvironmentVariable\('(\w+)', ''\)", source, re.MULTILINE))
    listed = {code(name): code(sets) for name, sets in table("| variable | sets |")}
    assert sorted(listed) == sorted(read.values())
    for variable, name in read.items():
        member = listed[name].removeprefix("settings.")
        assert re.search(rf"\b{member}\b ?[=:].*\b{variable}\b", source), name


def test_every_name_of_one_s_own_is_listed() -> None:
    """The members of `names` stand in its row."""
    declared = re.search(r"type Names = \{(.*?)\n\}", (ROOT / "infra" / "types.bicep").read_text(), re.DOTALL)
    assert declared
    (row,) = [row for row in table("| parameter | default |") if code(row[0]) == "names"]
    assert sorted(re.findall(r"`(\w+)`", row[2])) == sorted(re.findall(r"^  (\w+): ", declared.group(1), re.MULTILINE))


def test_every_alert_is_listed_with_its_severity() -> None:
    """Whoever is woken finds the reason."""
    rules = {path.stem for path in (ROOT / "infra" / "queries" / "alerts").glob("*.kql")}
    listed = {code(name): int(severity) for name, _, severity in table("| alert | fires when |")}
    assert set(listed) == rules
    source = (ROOT / "infra" / "modules" / "alerts.bicep").read_text()
    for name, severity in listed.items():
        assert re.search(rf"'{name}': \{{.*?severity: (\d)", source, re.DOTALL).group(1) == str(severity)  # type: ignore[union-attr] -- a missing rule fails here, too


def test_every_role_of_the_identity_is_listed() -> None:
    """With the sender's, these are all that the templates know."""
    listed = {row[0] for row in table("| role | on |")}
    assert listed | {"Storage Queue Data Message Sender"} == set(NAMES["roleDefinitions"])


def test_the_options_of_the_host_are_listed_with_their_values() -> None:
    """What the page says of scaling is what is deployed."""
    host = json.loads((ROOT / "host.json").read_text())
    options = {"functionTimeout": host["functionTimeout"], **host["extensions"]["queues"]}
    listed = {code(name): code(value) for name, value, _ in table("| `host.json` | value |")}
    assert listed == {name: str(value) for name, value in options.items()}


def test_the_loop_that_grants_by_hand_names_the_default_permissions() -> None:
    """Both ways end in the same permissions."""
    (loop,) = re.findall(r"for PERMISSION in (.*); do", PAGE)
    assert loop.split() == document("template")["parameters"]["graphPermissions"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^)make (\w+)", PAGE, re.MULTILINE))))
def test_commands_name_targets_that_exist(target: str) -> None:
    """What the page tells to type works."""
    assert target in TARGETS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:infra|tests)/[\w./-]*\w", PAGE))))
def test_commands_name_files_that_exist(path: str) -> None:
    """No template is looked for in vain."""
    assert (ROOT / path).exists()


def test_commands_name_functions_parameters_and_outputs_that_exist() -> None:
    """Keys are asked for functions of the app, and placeholders are filled from outputs."""
    source = (ROOT / "function_app.py").read_text()
    for name in re.findall(r"--function-name (\w+)", PAGE):
        assert f"async def {name}(" in source
    assert set(re.findall(r"--parameters (\w+)=", PAGE)) <= set(document("template")["parameters"])
    assert set(re.findall(r"<([A-Z_]+)>", PAGE)) <= set(document("template")["outputs"])
    for path in re.findall(r"\$API/(\w+)", PAGE):
        assert f'@app.route("{path}"' in source


def test_the_architecture_lists_every_file_of_the_deployment() -> None:
    """A newcomer finds the room of each resource."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    listed = re.findall(r"^\| `(infra/[^`]+)`", page, re.MULTILINE)
    files = [str(path.relative_to(ROOT)) for path in bicep_files()]
    assert sorted(listed) == sorted([*files, "infra/main.bicepparam"])


def test_azd_deploys_the_built_package() -> None:
    """Never a folder without its dependencies, never a build with another Python."""
    text = (ROOT / "azure.yaml").read_text()
    assert "remoteBuild: false" in text
    assert "- azd: provision\n      - azd: deploy api --from-package dist/azd.zip" in text
    assert "exit 1" in text[text.index("prepackage:") :]
