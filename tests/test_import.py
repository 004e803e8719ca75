"""`import anylens` stays light."""

import json
import subprocess
import sys

HEAVY = {
    "transformers", "diffusers", "huggingface_hub", "matplotlib", "jinja2", "gguf",
    "ray", "pandas", "PIL", "sklearn", "scipy", "pytest",
}  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after one statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_import_loads_nothing_heavy():
    assert not modules_after("import anylens") & HEAVY


def test_heavy_imports_would_be_seen():
    assert "jinja2" in modules_after("import jinja2")
