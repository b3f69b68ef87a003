"""What a fresh process has imported once it can start: nothing heavy. No clock decides here."""

import subprocess
import sys

import pytest

HEAVY = {
    "argon2",
    "dask",
    "datasketches",
    "duckdb",
    "granian",
    "jinja2",
    "numpy",
    "obstore",
    "onnx",
    "onnxruntime",
    "pandas",
    "polars",
    "psycopg",
    "pyarrow",
    "rich",
    "scipy",
    "sklearn",
    "skops",
    "starlette",
}

HELP = """
import sys
from headwater.cli import main
sys.argv[1:] = ["--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
"""


def heavy_modules_after(code: str) -> set[str]:
    """Return which of HEAVY a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return HEAVY & {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "code",
    [
        "import headwater",
        "import headwater.cli",
        "import headwater; dir(headwater)",
        HELP,
    ],
)
def test_starting_imports_nothing_heavy(code: str) -> None:
    assert heavy_modules_after(code) == set()


def test_a_heavy_import_is_found_wherever_it_hides() -> None:
    assert heavy_modules_after("def hidden():\n    import jinja2.sandbox\nhidden()") == {"jinja2"}
