"""The floors of the house, and the few rules about a file that a machine can read."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.floors import violations
from tests.tracked import ROOT, tracked_files

SOURCES = ROOT / "src"


def planted(root: Path, files: Mapping[str, str]) -> Path:
    """Write files under root/headwater."""
    for name, text in files.items():
        path = root / "headwater" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_each_line_imports_only_the_lines_below_it() -> None:
    assert violations(SOURCES) == []


@pytest.mark.parametrize(
    "hidden",
    [
        "def read():\n    from headwater.cli import main\n",
        "def read():\n    import headwater.cli.main as found\n",
        "if TYPE_CHECKING:\n    from headwater import cli\n",
        "def read():\n    from ..cli import main\n",
        "def read():\n    from .. import cli\n",
        "def read():\n    importlib.import_module('headwater.cli')\n",
        "def read():\n    import_module('..cli', __package__)\n",
        "def read(name):\n    import_module(f'headwater.cli.{name}')\n",
        "def read():\n    __import__('headwater.cli')\n",
    ],
)
def test_an_upward_import_is_found_wherever_it_hides(tmp_path: Path, hidden: str) -> None:
    planted(tmp_path, {"lake/read.py": hidden, "cli/main.py": ""})

    assert violations(tmp_path) == ["headwater/lake/read.py:2: lake imports cli, which is above it"]


def test_the_public_face_counts_as_the_sdk(tmp_path: Path) -> None:
    planted(tmp_path, {"lake/read.py": "import headwater as hw\n"})

    assert violations(tmp_path) == ["headwater/lake/read.py:1: lake imports sdk, which is above it"]


def test_the_public_face_shows_only_the_sdk(tmp_path: Path) -> None:
    planted(tmp_path, {"__init__.py": "def __getattr__(name):\n    from headwater import sdk, lake\n"})

    assert violations(tmp_path) == ["headwater/__init__.py:2: headwater itself may import only sdk, not lake"]


@pytest.mark.parametrize("name", ["lakes/read.py", "lakes.py"])
def test_a_name_that_is_not_in_the_picture_is_found(tmp_path: Path, name: str) -> None:
    planted(tmp_path, {name: ""})

    assert [sentence.partition(": ")[2] for sentence in violations(tmp_path)] == [
        "not in the picture of the floors; give 'lakes' a line"
    ]


def test_packages_on_one_line_may_import_each_other_one_way(tmp_path: Path) -> None:
    planted(tmp_path, {"ingest/pull.py": "from headwater.label import values\n", "label/values.py": ""})

    assert violations(tmp_path) == []


def test_a_circle_between_packages_on_one_line_is_found(tmp_path: Path) -> None:
    planted(
        tmp_path,
        {
            "objects/store.py": "from headwater.ledger.rows import Row\n",
            "ledger/rows.py": "from headwater.events import log\n",
            "events/log.py": "def seal():\n    from headwater.objects.packs import pack\n",
            "objects/packs.py": "",
        },
    )

    [sentence] = violations(tmp_path)
    assert sentence.startswith("packages on one line import each other in a circle: ")
    assert set(sentence.partition(": ")[2].split(" <- ")) == {"objects", "ledger", "events"}


def test_a_circle_between_modules_of_one_package_is_found(tmp_path: Path) -> None:
    planted(
        tmp_path,
        {
            "lake/read.py": "from headwater.lake.write import put\n",
            "lake/write.py": "try:\n    from .read import get\nfinally:\n    pass\n",
        },
    )

    [sentence] = violations(tmp_path)
    assert sentence.startswith("modules of one package import each other in a circle: ")


def test_modules_of_one_package_may_name_each_other_after_loading(tmp_path: Path) -> None:
    planted(
        tmp_path,
        {
            "lake/read.py": "from headwater.lake.write import put\n",
            "lake/write.py": "if TYPE_CHECKING:\n    from .read import get\ndef put():\n    from .read import get\n",
        },
    )

    assert violations(tmp_path) == []


def test_a_package_may_offer_what_its_modules_hold(tmp_path: Path) -> None:
    planted(
        tmp_path,
        {
            "lake/__init__.py": "from headwater.lake.read import get\n",
            "lake/read.py": "from headwater.lake import values\n",
            "lake/values.py": "",
        },
    )

    assert violations(tmp_path) == []


def bad_files(paths: Iterable[Path], root: Path) -> list[str]:
    """Return a sentence for each file that is too long, or whose name or classes have not found their name."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        where = str(path.relative_to(root))
        if (lines := len(text.splitlines())) > 800:
            found.append(f"{where}: {lines} lines: look for the second idea")
        if "utils" in (path.stem, path.parent.name):
            found.append(f"{where}: a module called utils has not found its name")
        found += [
            f"{where}:{node.lineno}: {node.name} has not found its name"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ClassDef) and node.name.endswith("Manager")
        ]
    return found


@pytest.mark.parametrize("folder", ["src", "tests", "scripts", "bench", "solutions"])
def test_no_file_is_too_long_or_without_a_name(folder: str) -> None:
    files = [path for path in tracked_files(folder) if path.suffix == ".py"]

    assert bad_files(files, ROOT) == []


def test_a_file_that_is_too_long_or_without_a_name_is_found(tmp_path: Path) -> None:
    planted(
        tmp_path, {"lake/long.py": "x = 1\n" * 801, "lake/utils.py": "", "lake/manager.py": "class StoreManager: ...\n"}
    )

    assert bad_files(sorted(tmp_path.rglob("*.py")), tmp_path) == [
        "headwater/lake/long.py: 801 lines: look for the second idea",
        "headwater/lake/manager.py:1: StoreManager has not found its name",
        "headwater/lake/utils.py: a module called utils has not found its name",
    ]
