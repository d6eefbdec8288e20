"""The shape of the house: imports point downwards, the pure parts are pure, the lower layers start fast."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("agents", "ledger", "devices", "market", "mosquitto")
MAY_IMPORT = {
    "agents": {"agents", "ledger", "devices", "market", "mosquitto"},
    "ledger": {"ledger", "mosquitto"},
    "devices": {"devices", "mosquitto", "market.readings", "market.events", "market.errors"},
    "market": {"market"},
    "mosquitto": {"mosquitto"},
}
IMPURE = {"time", "datetime", "random", "secrets", "socket", "select", "threading", "asyncio", "os", "uuid"}
IMPURE |= {"subprocess", "logging", "sqlite3", "pathlib", "tempfile", "io", "paho"}
# The protocol core. Everything else in ledger/ is a shell around it and may touch the world.
PURE_LEDGER = ("replica*.py", "core*.py", "normal_case*.py", "view_change*.py", "checkpoint*.py", "effects*.py")
PURE_LEDGER += ("log.py", "pool*.py", "quorum*.py", "messages*.py", "blocks*.py", "merkle*.py", "config*.py")
HEAVY = ("mesa", "pandas", "matplotlib", "pvlib", "scipy", "networkx")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module of a file, and whether it is imported when the file is (not inside a function)."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    inside = {id(node) for function in ast.walk(tree) if _is_function(function) for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, which hides the layer"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) not in inside


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def files(folder: str, *patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns or ("*.py",) for path in (ROOT / folder).rglob(pattern)})


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_downwards_only(layer: str) -> None:
    assert files(layer)
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(layer)
        for name, _ in imports(path)
        if name.split(".")[0] in LAYERS
        and not any(name == allowed or name.startswith(allowed + ".") for allowed in MAY_IMPORT[layer])
    ]
    assert wrong == []


@pytest.mark.parametrize(("layer", "patterns"), [("market", ("*.py",)), ("ledger", PURE_LEDGER)])
def test_the_contract_and_the_replica_know_no_clock_no_chance_and_no_world(
    layer: str, patterns: tuple[str, ...]
) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(layer, *patterns)
        for name, _ in imports(path)
        if name.split(".")[0] in IMPURE or name.startswith("numpy.random")
    ]
    assert wrong == []


@pytest.mark.parametrize("layer", ["mosquitto", "market", "ledger"])
def test_the_lower_layers_import_without_the_heavy_libraries(layer: str) -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files(layer)]
    _assert_light([module.removesuffix(".__init__") for module in modules if "__main__" not in module])


def test_a_device_host_starts_without_the_heavy_libraries() -> None:
    if (ROOT / "devices" / "host.py").exists():
        _assert_light(["devices.host"])


def _assert_light(modules: list[str]) -> None:
    script = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split() == []
