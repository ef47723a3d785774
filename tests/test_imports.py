"""The stack of imports that docs/architecture.md draws, held by the syntax tree and by real processes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYER_1 = {"declared", "errors", "fields", "registry", "needs", "outside", "quantities"}
AXES = {"models", "quantization", "methods", "tasks"}
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(LAYER_1, LAYER_1),
    "records": LAYER_1 | {"records"},
    "measure": LAYER_1 | {"records", "measure"},
    "micro": LAYER_1 | {"micro"},
    **{room: LAYER_1 | {"records", "micro", "measure"} | AXES for room in AXES},
    "suite": LAYER_1 | {"records", "suite", "micro"} | AXES,
    "runs": LAYER_1 | {"records", "measure", "suite", "micro", "runs"} | AXES,
    "analysis": LAYER_1 | {"records", "suite", "analysis"},
    "report": LAYER_1 | {"records", "suite", "analysis", "report"},
    "interop": LAYER_1 | {"records", "suite", "analysis", "interop"},
}
SUITE_MAY_TAKE = {"base", "facts", "source", "anatomy", "skeletons", "budget"}  # of the axis rooms
HEAVY = {"torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "lm_eval", "nltk", "sacrebleu", "rouge_score", "pycocoevalcap", "mlflow", "wandb"}
MAY_IMPORT_HEAVY = {"harness/runs/preload.py", "harness/runs/phases/trainer.py", "harness/tasks/lm_eval_harness/in_memory.py"}  # and the tuners, which derive from PEFT's classes


def sources() -> list[Path]:
    return sorted((ROOT / "harness").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "harness").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    here = room(path)
    if here in ("cli", "__init__", "__main__"):
        return
    assert here in ALLOWED, f"{path} is in a room that docs/architecture.md does not know"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "harness" or len(parts) == 1:
            continue
        assert parts[1] in ALLOWED[here], f"{path} imports {name}"
        if here == "suite" and parts[1] in AXES:
            assert len(parts) > 2, f"{path} imports {name}"
            assert parts[2] in SUITE_MAY_TAKE, f"{path} imports {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_are_imported_inside_functions(path: Path) -> None:
    if str(path.relative_to(ROOT)) in MAY_IMPORT_HEAVY or (path.parent.name == "tuners" and path.name != "__init__.py"):
        return
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {name.split(".")[0] for name in names} & HEAVY, f"{path}:{node.lineno}"


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "suites/quickstart.yaml"], ["list", "methods"], ["schema", "suite"]])
def test_commands_that_only_look_import_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom harness.cli import app\n"
        f"sys.argv = ['harness', *{arguments!r}]\n"
        "try:\n    app.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "loaded = {'torch', 'transformers', 'peft'} & set(sys.modules)\nassert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
