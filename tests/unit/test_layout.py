"""The structure that docs/architecture.md promises, read from the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "CTARucioDIRAC"
#: Who may import what of this package, by first folder. The demonstration plays a user of all of it.
ALLOWED = {
    "domain": {"domain"},
    "gateway": {"gateway", "domain"},
    "usecases": {"usecases", "gateway", "domain"},
    "testbed": {"testbed"},
    "rucio_policy": {"rucio_policy"},
}
#: Third parties that must stay out of a layer.
FORBIDDEN = {
    "domain": {"DIRAC", "CTADIRAC", "rucio", "os", "time", "requests", "subprocess"},
    "gateway": {"DIRAC", "CTADIRAC"},
    "usecases": {"DIRAC", "CTADIRAC", "rucio"},
    "rucio_policy": {"DIRAC", "CTADIRAC"},  # runs inside the server of Rucio
}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) in ALLOWED], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    own = {name.split(".")[1] for name in imports(path) if name.startswith("CTARucioDIRAC.")}
    assert own <= ALLOWED[layer(path)], f"{path} imports {own - ALLOWED[layer(path)]}"
    third = {name.split(".")[0] for name in imports(path)} & FORBIDDEN.get(layer(path), set())
    assert not third, f"{path} imports {third}"


def test_only_the_gateway_imports_rucio():
    speakers = {p for p in MODULES if any(name.split(".")[0] == "rucio" for name in imports(p))}
    assert {layer(p) for p in speakers} <= {"gateway", "testbed", "demo", "rucio_policy"}


def test_nothing_but_tests_and_the_demo_uses_the_testbed():
    users = {layer(p) for p in MODULES if any(name.startswith("CTARucioDIRAC.testbed") for name in imports(p))}
    assert users <= {"testbed", "demo"}


@pytest.mark.parametrize("folder", ["Resources", "Workflow"])
def test_the_operators_folders_hold_no_python_packages(folder):
    assert not list((ROOT / folder).rglob("*.py"))


def test_every_directory_of_the_package_is_a_package():
    for directory in {p.parent for p in MODULES}:
        assert (directory / "__init__.py").exists(), directory


def test_tests_are_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))
