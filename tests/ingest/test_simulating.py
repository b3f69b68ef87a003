from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError
from headwater.ingest import read_theory, simulate, simulating, theory
from headwater.lake import iter_files, log, read_bytes, scan
from headwater.project import LocalProject, Project, create_project
from headwater.trace import trace, verify
from tests.peaks import PEAK_MIB

SHOP = """
[customers]
rows = 1000
[customers.columns]
id = { sequence = 1 }
code = { pattern = "C-@@##", unique = true }
age = { normal = { mean = 40, sd = 12 }, min = 18, max = 99, round = 0 }
country = { choice = { DE = 0.6, FR = 0.4 } }
since = { date = { from = 2020-01-01, to = 2024-12-31 } }
active = { bernoulli = 0.25 }
[orders]
each = "customers"
count = { poisson = "age / 20" }
[orders.columns]
id = { sequence = { start = 100, step = 10 } }
gross = { formula = "amount * 1.19", noise = { normal = { sd = 0.05 } } }
customer = { parent = "id" }
amount = { lognormal = { mean = "3 + 0.01 * age", sigma = 0.5 }, round = 2, missing = 0.1 }
seen = { ref = "customers.code", skew = 1 }
at = { time = { from = 2025-01-01, to = 2025-02-01 } }
word = { pattern = "??" }
kind = "order"
"""


@pytest.fixture
def shop(sqlite_project: LocalProject) -> Any:
    simulate(sqlite_project, SHOP, "shop", seed=7)

    def ask(sql: str, table: str = "orders") -> tuple[Any, ...]:
        found = scan(sqlite_project, "shop", prefix=table).sql(sql).fetchall()
        return tuple(found[0])

    return ask


def test_distributions_are_as_declared(shop: Any) -> None:
    rows, ages, low, high, german, active = shop(
        "SELECT count(*), avg(age), min(age), max(age), avg((country = 'DE')::INT), avg(active::INT) FROM data", "cust"
    )
    assert rows == 1000
    # Standard errors: 12 / sqrt(1000) = 0.38; sqrt(0.24 / 1000) = 0.016; sqrt(0.1875 / 1000) = 0.014. The cut at 18
    # moves the mean by a third of a year.
    assert abs(ages - 40.3) < 1.9
    assert low == 18
    assert high <= 99
    assert abs(german - 0.6) < 0.08
    assert abs(active - 0.25) < 0.07


def test_keys_are_unique_and_relations_hold(shop: Any) -> None:
    assert shop("SELECT count(DISTINCT code), count(DISTINCT id), min(id), max(id) FROM data", "cust") == (
        1000,
        1000,
        1,
        1000,
    )
    rows, ids, first = shop("SELECT count(*), count(DISTINCT id), min(id) FROM data")
    assert rows == ids
    assert first == 100
    # A poisson of mean age / 20 for each of 1,000 customers of 40 years: 2,015 and a standard deviation of 50 or so.
    assert 1750 < rows < 2280
    assert shop("SELECT min(customer) >= 1 AND max(customer) <= 1000 FROM data") == (True,)
    ratio, missing = shop("SELECT avg(gross / amount), avg((amount IS NULL)::INT) FROM data")
    assert abs(ratio - 1.19) < 0.01
    assert abs(missing - 0.1) < 0.035


def test_a_missing_value_makes_what_is_computed_from_it_missing(shop: Any) -> None:
    assert shop("SELECT count(*) FROM data WHERE amount IS NULL AND gross IS NOT NULL AND NOT isnan(gross)") == (0,)
    assert shop("SELECT count(*) FROM data WHERE amount IS NULL AND gross IS NULL")[0] > 0


def test_the_theory_is_kept_and_named_by_the_lineage(project: Project) -> None:
    made = simulate(project, SHOP, "shop", seed=7)

    assert read_bytes(project, "shop", "theory.toml").decode() == SHOP
    digest = next(entry.digest for entry in iter_files(project, "shop") if entry.path == "theory.toml")
    parents = {(edge.role, edge.parent) for edge in trace(project, f"version:{made.version.id}").edges}
    assert ("produced_by", f"object:{digest}") in parents
    assert any(role == "source" and f"theory:{digest} seed 7" in parent for role, parent in parents)
    assert [entry.path for entry in iter_files(project, "shop")] == [
        "customers.parquet",
        "orders.parquet",
        "theory.toml",
    ]


def test_a_seed_gives_the_same_bytes_and_nothing_new(sqlite_project: LocalProject, tmp_path: Path) -> None:
    first = simulate(sqlite_project, SHOP, "shop", seed=7)
    again = simulate(sqlite_project, SHOP, "shop", seed=7)
    other = simulate(sqlite_project, SHOP, "shop", seed=8)
    with create_project(tmp_path / "elsewhere") as second:
        elsewhere = simulate(second, SHOP, "shop", seed=7)

    assert first.version.root == elsewhere.version.root
    assert again.version.id == first.version.id
    assert other.version.root != first.version.root
    assert len(log(sqlite_project, "shop")) == 2
    assert verify(sqlite_project) == []


def test_python_says_the_same_as_toml(sqlite_project: LocalProject) -> None:
    import tomllib

    simulate(sqlite_project, SHOP, "by-toml", seed=1)
    simulate(sqlite_project, theory(tomllib.loads(SHOP)), "by-python", seed=1)

    assert read_bytes(sqlite_project, "by-toml", "orders.parquet") == read_bytes(
        sqlite_project, "by-python", "orders.parquet"
    )
    assert [entry.path for entry in iter_files(sqlite_project, "by-python")][-1] == "theory.json"


def test_a_table_of_many_blocks_lies_in_several_files(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulating, "BLOCK_ROWS", 200)
    monkeypatch.setattr(simulating, "FILE_ROWS", 500)

    simulate(sqlite_project, SHOP, "shop", seed=7)

    paths = [entry.path for entry in iter_files(sqlite_project, "shop")]
    assert paths[:2] == ["customers/part-00000.parquet", "customers/part-00001.parquet"]
    assert len([path for path in paths if path.startswith("orders/")]) >= 3
    found = (
        scan(sqlite_project, "shop", prefix="orders/").sql("SELECT count(*), count(DISTINCT id) FROM data").fetchall()
    )
    assert found[0][0] == found[0][1]
    keys = scan(sqlite_project, "shop", prefix="customers/").sql("SELECT count(DISTINCT code) FROM data").fetchall()
    assert keys == [(1000,)]


def column(spec: str) -> str:
    return f"[t]\nrows = 10\n[t.columns]\nx = {spec}\nid = {{ sequence = 1 }}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (column("{ lognorml = { mean = 0 } }"), r"t\.x: 'lognorml' is unknown. Did you mean 'lognormal'"),
        (column("{ normal = { mu = 0 } }"), r"t\.x: normal takes mean, sd; 'mu' is unknown"),
        (column("{ normal = { sd = -1 } }"), r"t\.x: normal needs sd of 0 or more"),
        (column("{ gamma = { scale = 1 } }"), r"t\.x: gamma takes shape, scale; 'shape' is missing"),
        (column("{ uniform = { low = 2, high = 1 } }"), r"t\.x: uniform needs low \(2\) below high \(1\)"),
        (column("{ bernoulli = 1.5 }"), r"t\.x: bernoulli needs p between 0 and 1"),
        (column("{ normal = {}, poisson = 1 }"), r"t\.x: it is made in two ways, normal and poisson"),
        (column("{ missing = 0.1 }"), r"t\.x: nothing says how it is made"),
        (column("{ sequence = 1, missing = 3 }"), r"t\.x: missing = 3.0 is not a share"),
        (column("{ choice = { a = -1, b = 2 } }"), r"t\.x: the weights"),
        (column("{ date = { from = 2025-02-01, to = 2025-01-01 } }"), r"t\.x: from .* is after"),
        (column("{ formula = 'x + 1' }"), r"t\.x: it is made of itself"),
        (column("{ formula = 'y + 1' }\ny = { formula = 'x' }"), r"made of each other"),
        (column("{ formula = 'z + 1' }"), r"t\.x: the formula 'z \+ 1' cannot be answered.*may use"),
        (column("{ formula = \"read_text('/etc/passwd')\" }"), r"t\.x: the formula"),
        (column("{ ref = 'nowhere.id' }"), r"t\.x: there is no column 'nowhere.id'"),
        (column("{ parent = 'id' }"), r"t\.x: parent needs"),
        (column("{ pattern = '#', unique = true }").replace("10", "11"), r"t\.x: the pattern '#' has 10 members"),
        (column("{ choice = ['a'], round = 1 }"), r"t\.x: noise, min, max and round are for numbers"),
        (
            column('{ normal = { mean = "ln(id - 1)" }, round = 0 }').replace("sequence = 1", "constant = 'a'"),
            r"t\.x: ",
        ),
        ("[t]\nrows = 0\n[t.columns]\nx = 1\n", "rows = 0"),
        ("[t]\n[t.columns]\nx = 1\n", "needs rows"),
        ("[t]\neach = 'u'\ncount = 1\n[t.columns]\nx = 1\n", "no table 'u'"),
        ("[t]\nrows = 1\n", "has no columns"),
        ("x = = 1\n", "cannot be read"),
        ("\n", "no table"),
    ],
)
def test_errors_name_the_column(sqlite_project: LocalProject, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        simulate(sqlite_project, read_theory(text), "d")


LARGE = textwrap.dedent(
    """
    import sys
    from headwater.ingest import simulate
    from headwater.project import open_project

    text = '''[t]
    rows = %s
    [t.columns]
    id = { sequence = 1 }
    x = { normal = {} }
    y = { formula = "x * 2", noise = { normal = {} } }
    c = { choice = { a = 1, b = 2 } }
    '''
    with open_project(sys.argv[1]) as project:
        simulate(project, text, "large", seed=1)
    print(PEAK)
    """
).replace("PEAK", PEAK_MIB)


def peak_mib(folder: Path, rows: int) -> int:
    create_project(folder).close()
    command = [sys.executable, "-c", LARGE % rows, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.long
def test_ten_million_rows_take_no_more_memory_than_two(tmp_path: Path) -> None:
    few, many = peak_mib(tmp_path / "few", 2_000_000), peak_mib(tmp_path / "many", 10_000_000)

    assert many < few + 150
    assert many < 900
