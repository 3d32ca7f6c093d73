"""Plugins, as distributions that are installed: the one of docs/plugins.md, and some that are broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[3] / "docs" / "plugins.md"

# What `kopf run --module` does, and then instead of running: tell what is registered.
PROGRAM = """
import json
import kopf
from dask_kubernetes_operator import handlers
from dask_kubernetes_operator.metrics import REGISTRY

registry = kopf.get_default_registry()
parts = ("_activities", "_indexing", "_watching", "_spawning", "_changing")
print(json.dumps({
    "plugins": [[plugin.name, plugin.source, plugin.error] for plugin in handlers.PLUGINS],
    "handlers": [handler.id for part in parts for handler in getattr(registry, part).get_all_handlers()],
    "gauges": {
        plugin.name: REGISTRY.get_sample_value("dask_operator_plugin_loaded", {"plugin": plugin.name})
        for plugin in handlers.PLUGINS
    },
}))
"""

HALF = """
import kopf

@kopf.on.event("v1", "pods")
async def half(**_): ...

raise RuntimeError("no database")
"""
BAD_HANDLER = """
import kopf

@kopf.on.event("v1", "pods", nonsense=True)
async def wrong(**_): ...
"""
# Each a module, or None where there is none.
BROKEN = {
    "missing_module": None,
    "syntax": "import kopf\n\ndef\n",
    "raises": HALF,
    "exits": "import sys\n\nsys.exit('no configuration')\n",
    "bad_handler": BAD_HANDLER,
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def documented() -> dict[str, str]:
    """The example's files, as the page has them."""
    return dict(re.findall(r"^`(\S+)`\n\n```\w+\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


def install(source: Path, site: Path) -> None:
    """Build and install a distribution without a network."""
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--python", sys.executable, "--target", str(site), str(source)),
        ],
        check=True,
        timeout=120,
    )


def pack(site: Path, name: str, module: str | None) -> None:
    """Lay out a distribution as an installer does; one whose module is None has none."""
    metadata = f"{name}-1.0.dist-info"
    files = {
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{metadata}/entry_points.txt": f"[dask_operator_plugin]\n{name} = {name}_module\n",
    }
    write(site, files if module is None else {**files, f"{name}_module.py": module})


def load(site: Path) -> tuple[dict[str, Any], str]:
    """What is loaded in a process that has these distributions, and its log."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's example is installed, and with it what is broken."""
    folder = tmp_path_factory.mktemp("plugins")
    install(write(folder / "source", documented()), folder / "site")
    for name, module in BROKEN.items():
        pack(folder / "site", name, module)
    return folder / "site"


@pytest.fixture(scope="module")
def loaded(site: Path) -> tuple[dict[str, Any], str]:
    return load(site)


def test_plugin_of_the_documentation_is_loaded(loaded: tuple[dict[str, Any], str]) -> None:
    found, _ = loaded
    assert ["my_controller_plugin", "my-controller-plugin 1.0.0", None] in found["plugins"]
    assert "name_scheduler" in found["handlers"]
    assert found["gauges"]["my_controller_plugin"] == 1


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing_module", "ModuleNotFoundError: No module named 'missing_module_module'"),
        ("syntax", "SyntaxError: "),
        ("raises", "RuntimeError: no database"),
        ("exits", "SystemExit: no configuration"),
        ("bad_handler", "TypeError: "),
    ],
)
def test_broken_plugin_is_named_and_left_out(loaded: tuple[dict[str, Any], str], name: str, error: str) -> None:
    found, log = loaded
    [plugin] = [plugin for plugin in found["plugins"] if plugin[0] == name]
    assert plugin[2].startswith(error)
    assert f"plugin {name} ({name} 1.0) is left out" in log
    assert found["gauges"][name] == 0


def test_handlers_of_a_broken_plugin_are_left_out_too(loaded: tuple[dict[str, Any], str]) -> None:
    found, _ = loaded
    assert "half" not in found["handlers"]


def test_own_handlers_are_there_once_whatever_the_plugins_do(loaded: tuple[dict[str, Any], str]) -> None:
    found, _ = loaded
    for handler in ("start", "stop", "login", "changed-daskclusters", "changed-pods"):
        assert found["handlers"].count(handler) == 1


def test_without_plugins_none_is_loaded(tmp_path: Path) -> None:
    found, log = load(tmp_path)
    assert (found["plugins"], log) == ([], "")
