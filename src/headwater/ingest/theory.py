"""A theory of data: tables, columns, how each is distributed and what it depends on; checked before a row is made.

Written as TOML, or as the same in Python dicts::

    [customers]
    rows = 1000
    [customers.columns]
    id = { sequence = 1 }
    age = { normal = { mean = 40, sd = 12 }, min = 18, max = 99, round = 0 }
    country = { choice = { DE = 0.6, FR = 0.4 } }

    [orders]
    each = "customers"                        # for each customer ...
    count = { poisson = 3 }                   # ... about three orders
    [orders.columns]
    customer = { parent = "id" }
    amount = { lognormal = { mean = "3 + 0.01 * age", sigma = 0.5 }, round = 2, missing = 0.01 }
    gross = { formula = "amount * 1.19", noise = { normal = { sd = 0.05 } } }
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import InvalidInputError

PARAMETERS: dict[str, tuple[str, ...]] = {
    "normal": ("mean", "sd"),
    "lognormal": ("mean", "sigma"),
    "exponential": ("mean",),
    "gamma": ("shape", "scale"),
    "beta": ("a", "b"),
    "poisson": ("mean",),
    "binomial": ("n", "p"),
    "uniform": ("low", "high"),
    "integers": ("low", "high"),
    "bernoulli": ("p",),
}
"""The distributions of numbers and their parameters, each a number or a formula over columns (or the parent's)."""
OTHERS = ("sequence", "pattern", "choice", "date", "time", "constant", "formula", "parent", "ref")
EXTRAS = frozenset({"missing", "noise", "min", "max", "round", "unique", "skew"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_WORDS = re.compile(r"'(?:[^']|'')*'|\"([^\"]+)\"|([A-Za-z_][A-Za-z0-9_]*)")
_DEFAULTED = {
    "normal": {"mean": 0.0, "sd": 1.0},
    "lognormal": {"mean": 0.0, "sigma": 1.0},
    "exponential": {"mean": 1.0},
    "gamma": {"scale": 1.0},
    "uniform": {"low": 0.0, "high": 1.0},
    "bernoulli": {"p": 0.5},
}


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution with its parameters by name: numbers, or formulas as text."""

    kind: str
    values: dict[str, float | str]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column: what makes its values (``kind`` and its ``value``), and what is done to them afterwards."""

    table: str
    name: str
    kind: str
    value: Any
    missing: float = 0.0
    noise: Draw | None = None
    least: float | None = None
    most: float | None = None
    digits: int | None = None
    unique: bool = False
    skew: float = 0.0

    @property
    def where(self) -> str:
        """The column as errors name it."""
        return f"{self.table}.{self.name}"

    def formulas(self) -> list[str]:
        """Return the SQL expressions that this column is made of."""
        found = [self.value] if self.kind == "formula" else []
        for draw in (self.value, self.noise):
            if isinstance(draw, Draw):
                found += [value for value in draw.values.values() if isinstance(value, str)]
        return found


class TableTheory(msgspec.Struct, frozen=True, kw_only=True):
    """A table: so many ``rows``, or rows for ``each`` row of another table; columns in the order of making them."""

    name: str
    rows: int
    each: str
    count: Draw | None
    columns: tuple[Column, ...]
    order: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        """Return the column of that name."""
        return next((column for column in self.columns if column.name == name), None)


class Theory(msgspec.Struct, frozen=True, kw_only=True):
    """Tables by name, parents before children, and the text that they were read from."""

    tables: dict[str, TableTheory]
    text: str
    form: str
    """``toml`` or ``json``: what the text is."""


def read_theory(text: str) -> Theory:
    """Return the theory that a TOML text declares.

    Raises:
        InvalidInputError: the text is not TOML, or declares what cannot be; the message names the column.
    """
    import tomllib

    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"the theory cannot be read: {error}. Correct the line and run it again.") from error
    return _theory(given, text, "toml")


def theory(tables: Mapping[str, Mapping[str, Any]]) -> Theory:
    """Return the theory that Python dicts declare: what the TOML form says, table by table.

    Raises:
        InvalidInputError: as ``read_theory``.
    """
    text = msgspec.json.format(msgspec.json.encode(tables, enc_hook=str), indent=2).decode()
    return _theory(tables, text, "json")


def _theory(given: Mapping[str, Any], text: str, form: str) -> Theory:
    if not given:
        raise InvalidInputError("the theory declares no table. Begin with [TABLE], rows = N and [TABLE.columns].")
    tables = {name: _table(name, body) for name, body in given.items()}
    for table in tables.values():
        _check_parent(table, tables)
        for column in table.columns:
            _check_reference(column, table, tables)
    return Theory(tables={name: tables[name] for name in _by_parent(tables)}, text=text, form=form)


def _table(name: str, body: Any) -> TableTheory:
    if not _NAME.fullmatch(name) or not isinstance(body, Mapping):
        raise InvalidInputError(f"'{name}' is not a table of a theory: write [{name}] with letters, digits and '_'.")
    unknown = sorted(set(body) - {"rows", "each", "count", "columns"})
    if unknown:
        raise InvalidInputError(f"table '{name}': '{unknown[0]}' is unknown. There are rows, each, count and columns.")
    rows, each = body.get("rows"), body.get("each", "")
    if (rows is None) == (not each):
        raise InvalidInputError(f"table '{name}' needs rows = N, or each = \"TABLE\" with count: one of the two.")
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 1):
        raise InvalidInputError(f"table '{name}': rows = {rows!r} is not a whole number from 1 on.")
    columns = body.get("columns")
    if not isinstance(columns, Mapping) or not columns:
        raise InvalidInputError(f"table '{name}' has no columns. Declare them in [{name}.columns].")
    made = tuple(_column(name, column, spec) for column, spec in columns.items())
    count = body.get("count")
    if each and count is None:
        raise InvalidInputError(f"table '{name}': each = \"{each}\" needs count, as in count = {{ poisson = 3 }}.")
    drawn = (
        None if count is None else _draw(f"{name}.count", count if isinstance(count, Mapping) else {"constant": count})
    )
    return TableTheory(name=name, rows=rows or 0, each=each, count=drawn, columns=made, order=_in_order(made))


def _column(table: str, name: str, spec: Any) -> Column:
    where = f"{table}.{name}"
    if not _NAME.fullmatch(name):
        raise InvalidInputError(f"{where}: a column's name has letters, digits and '_', at most 100.")
    if not isinstance(spec, Mapping):
        spec = {"constant": spec}
    kinds = [key for key in spec if key not in EXTRAS]
    known = (*PARAMETERS, *OTHERS)
    strange = [kind for kind in kinds if kind not in known]
    if strange:
        import difflib

        close = difflib.get_close_matches(strange[0], (*known, *EXTRAS), n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise InvalidInputError(
            f"{where}: '{strange[0]}' is unknown.{hint} There are {', '.join(known)}.", column=where
        )
    if len(kinds) != 1:
        said = "nothing says how it is made" if not kinds else f"it is made in two ways, {' and '.join(kinds)}"
        raise InvalidInputError(f"{where}: {said}. Give one of {', '.join(known)}.", column=where)
    kind = kinds[0]
    value = _draw(where, {kind: spec[kind]}) if kind in PARAMETERS else _value(where, kind, spec[kind])
    missing = _number(where, "missing", spec.get("missing", 0.0))
    if not 0 <= missing <= 1:
        raise InvalidInputError(f"{where}: missing = {missing} is not a share between 0 and 1.", column=where)
    digits = spec.get("round")
    if digits is not None and (not isinstance(digits, int) or isinstance(digits, bool)):
        raise InvalidInputError(f"{where}: round = {digits!r} is not a whole number of decimals.", column=where)
    least, most = (None if key not in spec else _number(where, key, spec[key]) for key in ("min", "max"))
    if least is not None and most is not None and least > most:
        raise InvalidInputError(f"{where}: min = {least:g} is above max = {most:g}.", column=where)
    return Column(
        table=table, name=name, kind=kind, value=value, missing=missing, least=least, most=most, digits=digits,
        noise=_draw(f"{where} (noise)", spec["noise"]) if "noise" in spec else None,
        unique=bool(spec.get("unique", False)), skew=_number(where, "skew", spec.get("skew", 0.0)),
    )  # fmt: skip


def _draw(where: str, spec: Any) -> Draw:
    if not isinstance(spec, Mapping) or len(spec) != 1 or next(iter(spec)) not in (*PARAMETERS, "constant"):
        raise InvalidInputError(
            f"{where}: {spec!r} is no distribution. Write one of {', '.join(PARAMETERS)}, as in "
            "{ normal = { mean = 0, sd = 1 } }.",
            column=where,
        )
    kind, given = next(iter(spec.items()))
    if kind == "constant":
        return Draw(kind=kind, values={"value": _number(where, kind, given)})
    names = PARAMETERS[kind]
    if not isinstance(given, Mapping):
        given = {names[0]: given} if kind != "integers" else {"low": 0, "high": given}
    strange = sorted(set(given) - set(names))
    absent = [name for name in names if name not in given and name not in _DEFAULTED.get(kind, {})]
    if strange or absent:
        said = f"'{strange[0]}' is unknown" if strange else f"'{absent[0]}' is missing"
        raise InvalidInputError(f"{where}: {kind} takes {', '.join(names)}; {said}.", column=where)
    values: dict[str, float | str] = dict(_DEFAULTED.get(kind, {}))
    for name, value in given.items():
        values[name] = value if isinstance(value, str) else _number(where, name, value)
    _check_values(where, kind, values)
    return Draw(kind=kind, values=values)


def _check_values(where: str, kind: str, values: Mapping[str, float | str]) -> None:
    for name in ("sd", "sigma", "scale", "shape", "a", "b", "n"):
        value = values.get(name)
        if isinstance(value, float) and value < 0:
            raise InvalidInputError(f"{where}: {kind} needs {name} of 0 or more, not {value:g}.", column=where)
    p, low, high = values.get("p"), values.get("low"), values.get("high")
    if isinstance(p, float) and not 0 <= p <= 1:
        raise InvalidInputError(f"{where}: {kind} needs p between 0 and 1, not {p:g}.", column=where)
    if isinstance(low, float) and isinstance(high, float) and low > high:
        raise InvalidInputError(f"{where}: {kind} needs low ({low:g}) below high ({high:g}).", column=where)
    mean = values.get("mean")
    if kind in ("poisson", "exponential") and isinstance(mean, float) and mean < 0:
        raise InvalidInputError(f"{where}: {kind} needs mean of 0 or more, not {mean:g}.", column=where)


def _value(where: str, kind: str, given: Any) -> Any:
    """Return the checked value of what is no distribution of numbers."""
    if kind == "sequence":
        spec = given if isinstance(given, Mapping) else {"start": given}
        return int(_number(where, kind, spec.get("start", 1))), int(_number(where, kind, spec.get("step", 1)))
    if kind == "choice":
        weights = given if isinstance(given, Mapping) else dict.fromkeys(_list(where, given), 1.0)
        shares = [_number(where, f"choice {name}", share) for name, share in weights.items()]
        if not shares or min(shares) < 0 or sum(shares) <= 0:
            raise InvalidInputError(f"{where}: the weights of a choice are 0 or more, and not all 0.", column=where)
        return tuple(weights), tuple(share / sum(shares) for share in shares)
    if kind in ("date", "time"):
        spec = given if isinstance(given, Mapping) else {}
        if set(spec) != {"from", "to"}:
            raise InvalidInputError(
                f"{where}: {kind} takes from and to, as in {{ from = 2025-01-01, to = 2025-12-31 }}."
            )
        low, high = (_time(where, spec[key]) for key in ("from", "to"))
        if low > high:
            raise InvalidInputError(f"{where}: from ({low}) is after to ({high}).", column=where)
        return low, high
    if kind in ("formula", "pattern", "parent", "ref"):
        if not isinstance(given, str) or not given.strip():
            raise InvalidInputError(f"{where}: {kind} takes a text, not {given!r}.", column=where)
        return given
    if not isinstance(given, str | int | float | bool):
        raise InvalidInputError(
            f"{where}: {given!r} is no constant: give a text, a number, true or false.", column=where
        )
    return given


def _list(where: str, given: Any) -> Sequence[Any]:
    if not isinstance(given, list | tuple) or not given:
        raise InvalidInputError(f"{where}: choice takes a list of values, or values with weights.", column=where)
    return given


def _number(where: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InvalidInputError(f"{where}: {what} = {value!r} is not a number.", column=where)
    return float(value)


def _time(where: str, value: Any) -> datetime.datetime:
    try:
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            return value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        if isinstance(value, datetime.date):
            return datetime.datetime(value.year, value.month, value.day)  # noqa: DTZ001  # times of a theory have no zone
    except ValueError:
        pass
    raise InvalidInputError(
        f"{where}: {value!r} is not a date or time: write 2025-01-31 or 2025-01-31T12:00.", column=where
    )


def words_in(formula: str) -> set[str]:
    """Return the names that a formula could mean, texts in quotes left out."""
    return {found[1] or found[2] for found in _WORDS.finditer(formula) if found[1] or found[2]}


def _in_order(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns so that each comes after those that it is made of."""
    from graphlib import CycleError, TopologicalSorter

    by_name = {column.name: column for column in columns}
    graph = {
        name: [word for formula in column.formulas() for word in sorted(words_in(formula)) if word in by_name]
        for name, column in by_name.items()
    }
    for name, needs in graph.items():
        if name in needs:
            raise InvalidInputError(f"{by_name[name].where}: it is made of itself.", column=by_name[name].where)
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        raise InvalidInputError(
            f"{by_name[error.args[1][0]].where}: the columns are made of each other: {circle}."
        ) from None


def _check_parent(table: TableTheory, tables: Mapping[str, TableTheory]) -> None:
    if table.each and table.each not in tables:
        raise InvalidInputError(
            f"table '{table.name}': there is no table '{table.each}' for each row of which to make rows."
        )
    for column in table.columns:
        if column.kind != "parent":
            continue
        if not table.each:
            raise InvalidInputError(f"{column.where}: parent needs a table made for each row of another (each = ...).")
        if tables[table.each].column(column.value) is None:
            raise InvalidInputError(
                f"{column.where}: '{table.each}' has no column '{column.value}'. It has "
                f"{', '.join(each.name for each in tables[table.each].columns)}.",
                column=column.where,
            )


def _check_reference(column: Column, table: TableTheory, tables: Mapping[str, TableTheory]) -> None:
    if column.unique and column.kind != "pattern":
        raise InvalidInputError(f"{column.where}: unique is for patterns.", column=column.where)
    if column.unique and table.each:
        raise InvalidInputError(f"{column.where}: unique needs a table with rows = N.", column=column.where)
    if column.kind != "ref":
        return
    name, _, target = column.value.partition(".")
    referred = tables[name].column(target) if name in tables else None
    if referred is None:
        raise InvalidInputError(f"{column.where}: there is no column '{column.value}' to refer to (TABLE.COLUMN).")
    keyed = referred.kind == "sequence" or (referred.kind == "pattern" and referred.unique)
    if not keyed or not tables[name].rows or referred.missing:
        raise InvalidInputError(
            f"{column.where}: '{column.value}' is no key: a reference needs a sequence, or a pattern with "
            "unique = true, of a table with rows = N, without missing values.",
            column=column.where,
        )


def _by_parent(tables: Mapping[str, TableTheory]) -> list[str]:
    from graphlib import CycleError, TopologicalSorter

    try:
        order = TopologicalSorter({name: [t.each] if t.each else [] for name, t in tables.items()}).static_order()
        return list(order)
    except CycleError as error:
        raise InvalidInputError(f"the tables are made for each other: {' <- '.join(error.args[1])}.") from None
