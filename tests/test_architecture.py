"""The layers spaces ← searchers ← safs, and what each module needs to be imported."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spaces", "searchers", "safs")
HEAVY = ("torch", "torchvision", "ray", "smac", "optuna", "pydantic", "matplotlib", "sklearn", "pandas")
OPTIONAL = ("ray", "smac", "optuna")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports(tree, *, everywhere):
    """Return the modules that a file imports, those of `if TYPE_CHECKING` left out unless `everywhere`."""
    found = set()
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not everywhere:
            pending += node.orelse
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += list(ast.iter_child_nodes(node))
    return found


def tree(name):
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def top(name):
    return name.split(".")[0]


def test_there_is_something_to_check():
    assert len(FILES) > 50
    assert {"spaces.operators", "searchers.base", "safs", "safs.surgery", "safs.data"} <= set(FILES)


FORBIDDEN = {
    "spaces": {"searchers", "safs", "ray", "smac"},
    "searchers": {"safs", "torch", "torchvision", "ray"},
    "safs": set(),
}


@pytest.mark.parametrize("name", FILES)
def test_layers(name):
    used = {top(module) for module in imports(tree(name), everywhere=True)}  # inside functions and for types, too
    assert not used & FORBIDDEN[top(name)]
    assert not used & {"tests", "benchmarks"}


def test_searchers_load_no_torch_through_others():
    code = "import pkgutil, importlib, sys, searchers\n"
    code += "[importlib.import_module(m.name) for m in pkgutil.walk_packages(searchers.__path__, 'searchers.')]\n"
    assert loaded(code) & {"torch", "safs", "ray"} == set()


def test_no_cycles_at_module_level():
    graph = {}
    for name in FILES:
        own = {module for module in imports(tree(name), everywhere=False) if module in FILES}
        parents = {name.rsplit(".", k)[0] for k in range(1, name.count(".") + 1)}
        graph[name] = {module for module in own if module != name} - parents
    assert sum(map(len, graph.values())) > 100
    done, path = set(), []

    def visit(name):
        assert name not in path, f"import cycle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for other in sorted(graph[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def loaded(code):
    """Return the top-level packages that are loaded after a piece of code has run in a fresh interpreter."""
    return set(run(f"{code}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))").split())


@pytest.mark.parametrize(
    "module", ["safs", "spaces", "searchers", "safs.version", "spaces.errors", "spaces.assignment"]
)
def test_light_modules_load_nothing_heavy(module):
    assert not loaded(f"import {module}") & set(HEAVY)


def test_the_package_gives_its_names_lazily():
    assert "torch" not in loaded("import safs; assert safs.__version__; assert 'find_sites' in safs.__all__")
    assert "torch" in loaded("from safs import find_sites, apply_assignment")


# One interpreter loads what is foreign once, and then forks a child for every module, which imports that one alone.
EACH_ALONE = """
import importlib, os, sys, traceback
{before}
for name in {foreign}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for name in {names}:
    child = os.fork()
    if child == 0:
        assert not [m for m in sys.modules if m.split(".")[0] in ("spaces", "searchers", "safs")]
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(name)
"""

BLOCK = f"""
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_every_module_can_be_imported_alone_and_without_ray_smac_and_optuna():
    names = [name for name in FILES if not name.endswith("__main__") and name != "safs.hpo"]
    used = set().union(*(imports(tree(name), everywhere=False) for name in FILES))
    foreign = sorted(name for name in used | {"torchvision"} if top(name) not in PACKAGES)
    assert run(EACH_ALONE.format(before=BLOCK, names=names, foreign=foreign)).split() == []


def test_the_module_that_needs_smac_can_be_imported_alone():
    assert "spaces" in loaded("import safs.hpo")


def test_the_block_blocks():
    code = "import sys\n" + BLOCK + "try:\n    import optuna\nexcept ImportError:\n    print('blocked')"
    assert run(code).split() == ["blocked"]
