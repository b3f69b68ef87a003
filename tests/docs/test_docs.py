"""What the pages say is so: their code runs, their commands exist, and the reference has all there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import FOLDER, pages, walk
from headwater import sdk
from headwater.api.operations import load_operations
from headwater.check.comparisons import DistributionChange, RowCountChange
from headwater.check.rule import COMMON
from headwater.check.rules import Freshness, Nulls, Range, Schema, Unique
from headwater.errors import error_classes
from headwater.flow.streams import Stream
from headwater.ingest.declared import _OWN as SOURCE_KEYS
from headwater.jobs.triggers import _Declared as DeclaredTrigger
from headwater.monitor.values import Monitor
from headwater.notify.declared import _Written as WrittenNotifier
from headwater.objects.remote import _KINDS
from headwater.release.delivery import Pipeline
from headwater.release.rules import ChannelRules
from headwater.serve.settings import ModelSettings, ServeSettings
from headwater.trace.readiness.catalogue import ReadinessRules
from tests.docs.pages import ROOT, commands, problem_of, written_pages
from tests.docs.playing import Player

PLAYED = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
RULES = (Schema, Range, Nulls, Unique, Freshness, RowCountChange, DistributionChange)
SETTINGS = {
    "[project]": {"name"},
    "[stores]": {"ledger", "objects"},
    "[stores.s3]": {"endpoint", "access_key", "secret_key", "session_token", "region"},
    "[stores.gs]": set(_KINDS["gs"].options),
    "[stores.az]": set(_KINDS["az"].options),
    "[places]": set(),
    "[retention]": {"grace_hours", "runs_days", "versions_days"},
    "[ingest]": {"lease_s"},
    "[[source]]": SOURCE_KEYS,
    "[flow]": {"on", "workers"},
    "[flows]": {"modules"},
    "[[checks.DATASET]]": COMMON.union(*(rule.options for rule in RULES)),
    "[channels.CHANNEL]": set(ChannelRules.__struct_fields__),
    "[ci]": set(Pipeline.__struct_fields__),
    "[serve]": set(ServeSettings.__struct_fields__),
    "[serve.models.NAME]": set(ModelSettings.__struct_fields__),
    "[readiness]": set(ReadinessRules.__struct_fields__),
    "[[monitors]]": set(Monitor.__struct_fields__),
    "[[triggers]]": set(DeclaredTrigger.__struct_fields__),
    "[jobs]": {"limits"},
    "[[stream]]": set(Stream.__struct_fields__),
    "[[notify]]": set(WrittenNotifier.__struct_fields__),
}


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    playing = Player(tmp_path)
    yield playing
    playing.close()


@pytest.mark.parametrize(
    "page",
    [page if page.name == "README.md" else pytest.param(page, marks=pytest.mark.long) for page in PLAYED],
    ids=lambda page: page.name,
)
def test_a_page_can_be_played_from_its_first_line_to_its_last(page: Path, player: Player) -> None:
    player.play(page.read_text(encoding="utf-8"))

    assert "byte-equal" in player.said


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    wrong = [found for line in commands(text) if (found := problem_of(line))]

    assert wrong == []


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("hw data ad flights a.csv", "no command ad"),
        ("hw frobnicate", "no command frobnicate"),
        ("hw run train --twice", "no option --twice"),
        ("hw data add flights a.csv -m 'two words' --json", ""),
        ("hw -p http://127.0.0.1:8787 --as ann release requests", ""),
    ],
)
def test_an_unknown_command_or_option_is_caught(line: str, wanted: str) -> None:
    assert wanted in problem_of(line)
    assert bool(wanted) == bool(problem_of(line))


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_what_the_code_gives_now(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "stale: run 'python docs/generate.py'"


def test_a_command_that_was_added_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pages()["errors.md"]
    kinds = dict(error_classes())
    kinds["planted"] = error_classes()["conflict"]
    monkeypatch.setattr("docs.generate.error_classes", lambda: kinds)

    assert pages()["errors.md"] != before


def test_the_reference_has_every_command_kind_operation_and_name() -> None:
    reference = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    operations = [each.name for each in load_operations() if not each.name.startswith("test.")]
    kinds = [kind for kind, cls in error_classes().items() if cls.__module__.startswith("headwater.")]

    missing = [c.command_path for c in walk() if f"## {c.command_path}\n" not in reference["commands.md"]]
    missing += [kind for kind in kinds if f"| `{kind}` |" not in reference["errors.md"]]
    missing += [name for name in operations if f"`{name}`" not in reference["operations.md"]]
    missing += [name for name in sdk.NAMES if f"## hw.{name}\n" not in reference["python.md"]]

    assert missing == []


def section(text: str, title: str) -> str:
    """Return a section of a page by its heading, "" where there is none."""
    found = re.search(rf"^## `{re.escape(title)}`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


@pytest.mark.parametrize("table", SETTINGS)
def test_the_reference_has_every_key_of_a_settings_table_and_no_other(table: str) -> None:
    text = section((FOLDER / "settings.md").read_text(encoding="utf-8"), table)

    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == SETTINGS[table]


_READ = re.compile(r"""\b(?:settings|found|Settings)(?:\.read\([^)]*\))?\.(?:table|rows|text)\(\s*"(\w+)""")


def tables_read(text: str) -> set[str]:
    """Return the tables of headwater.toml that some code reads."""
    return set(_READ.findall(text))


def test_the_reference_has_every_settings_table_that_the_code_reads() -> None:
    assert tables_read('ttl = project.settings.table("planted").get("s")') == {"planted"}
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))]
    read = set().union(*map(tables_read, sources))
    page = (FOLDER / "settings.md").read_text(encoding="utf-8")

    assert len(read) >= 15 and "planted" not in re.findall(r"^## `\[+(\w+)", page, re.MULTILINE)
    assert read - set(re.findall(r"^## `\[+(\w+)", page, re.MULTILINE)) - {"models"} == set()
    assert "`[models.MODEL.channels.CHANNEL]`" in page


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in written_pages():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            made_elsewhere = target.endswith("overview.png")
            if "://" not in target and not made_elsewhere and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")

    assert broken == []
