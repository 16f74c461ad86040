import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from revoke_core.adapters.storage import QUEUES, TABLES
from revoke_core.domain.payloads.csv_lines import COLUMNS
from revoke_core.domain.payloads.shapes import Shape
from revoke_core.domain.problems import STABLE_CODES
from revoke_core.settings import DEFAULTS, SETTING_NAMES

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def page(name: str) -> str:
    return (ROOT / name).read_text()


def first_cells(text: str) -> Iterator[str]:
    """What stands in code style in the first cell of each table row."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield re.findall(r"`([^`]+)`", line.split("|")[1])[0]


def test_the_architecture_names_every_module_and_no_other() -> None:
    """Whoever looks for a rule finds its room in one list."""
    listed = [cell for cell in first_cells(page("docs/architecture.md")) if cell.endswith(".py")]
    modules = [path for path in (ROOT / "revoke_core").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(listed) == sorted(["function_app.py", *(str(path.relative_to(ROOT)) for path in modules)])


def test_every_guard_names_a_test_that_is_there() -> None:
    """Whoever changes a guard finds what has to fail without it, under the name it has today."""
    guards = page("docs/architecture.md").split("\n## Guards\n")[1].split("\n## ")[0]
    rows = [line for line in guards.splitlines() if line.startswith("| ")][1:]
    assert rows
    for row in rows:
        named = re.search(r"\| `([\w/]+/test_\w+\.py)::(test_\w+)` \|$", row)
        assert named, row
        assert f"def {named[2]}(" in page(f"tests/{named[1]}"), row


def test_the_settings_page_names_every_setting_with_its_default() -> None:
    """Nothing is read that is not documented, and nothing documented is not read."""
    text = page("docs/settings.md")
    assert sorted(first_cells(text)) == sorted(SETTING_NAMES)
    for name, default in DEFAULTS.items():
        assert f"| `{name}` | `{default}` |" in text


def test_the_error_page_names_every_code() -> None:
    """Each code a caller may meet has its line."""
    listed = list(first_cells(page("docs/errors.md")))
    assert sorted(listed) == sorted(set(STABLE_CODES))


@pytest.mark.parametrize("name", PAGES)
def test_what_is_pasted_holds_no_comment_behind_a_command(name: str) -> None:
    """An interactive zsh knows no comments: their words would become arguments, and curl sends the key to such hosts.

    A comment on its own line is an unknown command there, as long as it holds nothing that a shell acts on.
    """
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page(name), re.MULTILINE | re.DOTALL)
    shells = [block for language, block in blocks if language in ("", "sh", "bash", "shell", "console")]
    lines = [line.strip() for block in shells for line in block.splitlines()]
    assert [line for line in lines if re.search(r"\S\s+# ", line)] == []
    assert [line for line in lines if line.startswith("#") and re.search(r"[;&|<>()'\"`$]", line)] == []


def test_the_readme_names_every_route() -> None:
    """The table of routes is the app's."""
    declared = re.findall(r'@app\.route\("([^"]+)", methods=\[([^\]]+)\]', page("function_app.py"))
    listed = re.findall(r"^\| `(\w+) /api/([^`]+)`", page("README.md"), re.MULTILINE)
    assert sorted((method, route) for route, methods in declared for method in re.findall(r"\w+", methods)) == sorted(
        listed
    )


def test_the_payloads_page_names_every_shape_and_column() -> None:
    """Whoever builds a flow or a list finds what is read, and that nothing else is."""
    text = page("docs/payloads.md")
    assert set(first_cells(text)) == set(Shape)
    for meaning, columns in COLUMNS.items():
        (row,) = re.findall(rf"^\| {meaning} \| (.*) \|$", text, re.MULTILINE)
        assert [name.lower() for name in re.findall(r"`([^`]+)`", row)] == list(columns)
    assert all(f"`{shape}`" in page("README.md") for shape in Shape)


def test_queues_and_tables_are_the_ones_the_docs_and_triggers_name() -> None:
    """One set of names, wherever they stand."""
    triggers = set(re.findall(r'queue_name="([^"]+)"', page("function_app.py")))
    assert triggers == set(QUEUES)
    assert all(f"`{table}`" in page("docs/architecture.md") for table in TABLES)


def test_the_sample_settings_are_known() -> None:
    """The sample starts an app; a typing error in it would start a puzzle."""
    values = json.loads(page("local.settings.sample.json"))["Values"]
    platform = {"FUNCTIONS_WORKER_RUNTIME", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"}
    assert set(values) - platform <= set(SETTING_NAMES)


def test_queue_options_are_what_the_app_relies_on() -> None:
    """Plain messages reach the app, and the queue is looked at every two seconds or more often."""
    queues = json.loads(page("host.json"))["extensions"]["queues"]
    assert queues["messageEncoding"] == "none"
    assert queues["maxPollingInterval"] <= "00:00:02"


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda path: path.name
)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    """No page sends its reader into the void."""
    for target in re.findall(r"\]\(([^)#:]+\.md)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_rooms_import_only_downwards() -> None:
    """The domain knows no other room, a port only the domain, the service no adapter, and no module the local kit."""
    forbidden = {
        "domain": ("ports", "service", "adapters", "entrypoints", "settings", "bootstrap"),
        "ports": ("service", "adapters", "entrypoints", "settings", "bootstrap"),
        "service": ("adapters", "entrypoints", "settings", "bootstrap"),
        "service/engine": ("service.intake", "service.reading", "service.upkeep"),
        "service/reading": ("service.intake", "service.upkeep"),
        "service/upkeep": ("service.intake", "service.engine", "service.reading"),
        "adapters": ("service", "entrypoints", "bootstrap"),
        "entrypoints": ("bootstrap", "settings", "adapters"),
    }
    for room, names in forbidden.items():
        for path in (ROOT / "revoke_core" / room).rglob("*.py"):
            imported = re.findall(r"^ *(?:from|import) (revoke_core[\w.]*|local)\b", path.read_text(), re.MULTILINE)
            for name in imported:
                assert name != "local", path
                assert not any(f"{name}.".startswith(f"revoke_core.{other}.") for other in names), (path, name)


def test_no_constructor_takes_more_than_seven_collaborators() -> None:
    """What one class needs to know stays within what a reader can hold."""
    for path in (ROOT / "revoke_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                arguments = [*node.args.args[1:], *node.args.kwonlyargs]
                assert len(arguments) <= 7, (path, [argument.arg for argument in arguments])
