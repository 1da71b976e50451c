"""Imports point down the layers of docs/architecture.md, and start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "onsa"

# From the top down. A module may import from its own row or from rows below.
LAYERS = [
    {"cli"},
    {"commands"},
    {"methods"},
    {"prepare"},
    {"training", "evaluation", "figures", "state"},
    {"isolation", "choosing", "cores", "losses", "tasks", "run", "report"},
    {"data", "inspection", "metrics"},
    {"models"},
    {"recipe", "settings", "weights", "adapter", "masks", "weight_ops", "resources", "progress"},
    {"errors", "extras", "files", "language", "plain_yaml", "tensor_file"},
]
LOWEST_MAY_NEED = {"torch", "safetensors", "numpy", "pydantic", "yaml", "rich"}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" or path.parent != PACKAGE
    }


def imports(path: Path, outside_types: bool = True) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if outside_types and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
    return found


def layer_of(room: str) -> int:
    return next(depth for depth, rooms in enumerate(LAYERS) if room in rooms)


def test_every_module_has_its_layer() -> None:
    rooms = {name.split(".")[0] for name in modules()}
    assert rooms == set().union(*LAYERS)


def test_imports_point_down() -> None:
    for name, path in modules().items():
        room = name.split(".")[0]
        for target in imports(path):
            if target.startswith("onsa."):
                other = target.split(".")[1]
                assert layer_of(other) >= layer_of(room), f"{name} imports {target}"


def test_no_method_imports_another() -> None:
    names = [name for name in modules() if name.startswith("methods.") and "__init__" not in name]
    for name in names:
        others = {f"onsa.{other}" for other in names if other != name}
        assert not imports(modules()[name]) & others, name


def test_the_lowest_layers_need_little() -> None:
    for name, path in modules().items():
        if layer_of(name.split(".")[0]) >= len(LAYERS) - 2:
            foreign = {module.split(".")[0] for module in imports(path)}
            foreign -= set(sys.stdlib_module_names) | {"onsa"}
            assert foreign <= LOWEST_MAY_NEED, f"{name} needs {foreign}"


def test_only_one_file_names_the_trainer() -> None:
    naming = [name for name, path in modules().items() if names_the_trainer(path)]
    assert naming == ["training.trainer"]


def names_the_trainer(path: Path) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "Trainer" for alias in node.names)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_start_up_loads_nothing_heavy() -> None:
    probe = (
        "import sys, onsa.cli; "
        "print([m for m in ('torch', 'transformers', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_reads_files_and_figures_needs_no_torch() -> None:
    """`onsa data`, `init`, `report` and `diff` start in a second, and in a third of the memory."""
    rooms = ("data", "init", "report", "diff")
    probe = "\n".join(
        [
            "import sys",
            *(f"import onsa.commands.{room}" for room in rooms),
            "from onsa.inspection import inspect, records",
            "from onsa.report.pages import difference, evaluation, ranking, tuning",
            "from onsa.tasks import all_kinds",
            "all_kinds()",
            "print([m for m in ('torch', 'transformers') if m in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
