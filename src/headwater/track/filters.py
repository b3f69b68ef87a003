"""The filter language of run lists: ``metrics.auc > 0.7 and params.depth = 8 and tags.team = 'ops'``.

Fields are ``metrics.X`` (the last value), ``params.X``, ``tags.X`` and the run's own: id, name, kind, flow, status,
author, parent, archived (true or false; archived runs are left out unless the filter names it), started_at, ended_at
(UTC microseconds, or a date in quotes). A name with odd characters is quoted:
``metrics."val/auc"``. Comparisons are ``= != < <= > >=``, ``contains``, ``in (…)``; they join by ``and``, ``or``,
``not`` and parentheses. A run without the value satisfies no comparison of it.
"""

from __future__ import annotations

import re
from typing import Any

from headwater.errors import InvalidInputError

from .runs import ARCHIVED, DELETED, LISTED

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+|inf\b|nan\b))
      | (?P<text>'(?:[^']|'')*')
      | (?P<field>[A-Za-z_][A-Za-z0-9_]*(?:\.(?:"(?:[^"]|"")*"|[A-Za-z0-9_\-/]+))*)
      | (?P<sign><=|>=|!=|==|<>|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_WORDS = {"and", "or", "not", "in", "contains"}
_OWN = ("id", "name", "kind", "flow", "status", "author", "parent", "archived", "started_at", "ended_at")
_TIMES = ("started_at", "ended_at")
_SIGNS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_DEEPEST = 50


class Condition:
    """A condition in SQL over a table of runs called ``r``, with the values of its ``?``."""

    __slots__ = ("params", "sql")

    def __init__(self, sql: str, params: list[Any]) -> None:
        self.sql = sql
        self.params = params


def parse_filter(text: str) -> Condition:
    """Return the condition that a filter describes; an empty one holds for every run that is not archived.

    Raises:
        InvalidInputError: it cannot be read; the message shows where.
    """
    if not text.strip():
        return Condition(f"r.shelf = {LISTED}", [])
    parser = _Parser(text)
    found = parser.parse()
    shelf = f"r.shelf <> {DELETED}" if parser.names_archived else f"r.shelf = {LISTED}"
    return Condition(f"{shelf} AND {found.sql}", found.params)


def split_field(field: str) -> tuple[str, str]:
    """Return ``("metrics", "val/auc")`` for ``metrics."val/auc"`` and ``("", "name")`` for a run's own field."""
    group, dot, key = field.partition(".")
    if not dot:
        return "", group
    unquoted = re.sub(r'"((?:[^"]|"")*)"', lambda found: found[1].replace('""', '"'), key)
    return group, unquoted


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokens()
        self.place = 0
        self.depth = 0
        self.names_archived = False

    def _tokens(self) -> list[tuple[str, str, int]]:
        tokens: list[tuple[str, str, int]] = []
        at = 0
        while self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise self._error("this cannot be read", at)
            kind = found.lastgroup or ""
            value, start = found[kind], found.start(kind)
            if kind == "field" and value.lower() in _WORDS:
                kind, value = "word", value.lower()
            tokens.append((kind, value, start))
            at = found.end()
        return tokens

    def _error(self, why: str, at: int | None = None) -> InvalidInputError:
        if at is None:
            at = self.tokens[self.place][2] if self.place < len(self.tokens) else len(self.text)
        return InvalidInputError(
            f"the filter cannot be used: {why} at '{self.text[at : at + 20] or 'the end'}' (character {at + 1}). "
            "Write it like: metrics.auc > 0.7 and params.depth = 8 and status = 'done'.",
            filter=self.text,
            position=at,
        )

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.place][:2] if self.place < len(self.tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self.place += 1
        return token

    def parse(self) -> Condition:
        found = self._either()
        if self._peek()[0] != "end":
            raise self._error("'and' or 'or' is missing")
        return found

    def _either(self) -> Condition:
        found = self._both()
        while self._peek() == ("word", "or"):
            self._take()
            other = self._both()
            found = Condition(f"({found.sql} OR {other.sql})", found.params + other.params)
        return found

    def _both(self) -> Condition:
        found = self._one()
        while self._peek() == ("word", "and"):
            self._take()
            other = self._one()
            found = Condition(f"({found.sql} AND {other.sql})", found.params + other.params)
        return found

    def _one(self) -> Condition:
        self.depth += 1
        if self.depth > _DEEPEST * 20:
            raise self._error("it is too long")
        if self._peek() == ("word", "not"):
            self._take()
            inner = self._one()
            return Condition(f"(NOT {inner.sql})", inner.params)
        if self._peek() == ("sign", "("):
            self._take()
            inner = self._either()
            if self._take() != ("sign", ")"):
                self.place -= 1
                raise self._error("')' is missing")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        kind, field = self._peek()
        if kind != "field":
            raise self._error("a field like metrics.auc, params.depth, tags.team or status is missing")
        self._take()
        sign_kind, sign = self._take()
        if sign_kind == "word" and sign == "in":
            values = self._list()
            each = [self._compared(field, "=", value) for value in values]
            return Condition(f"({' OR '.join(c.sql for c in each)})", [p for c in each for p in c.params])
        if sign_kind == "word" and sign == "contains":
            return self._compared(field, "contains", self._value())
        if sign not in _SIGNS:
            self.place -= 1
            raise self._error("a comparison (= != < <= > >= contains in) is missing")
        return self._compared(field, _SIGNS[sign], self._value())

    def _list(self) -> list[float | str]:
        if self._take() != ("sign", "("):
            self.place -= 1
            raise self._error("'(' is missing after 'in'")
        values = [self._value()]
        while self._peek() == ("sign", ","):
            self._take()
            values.append(self._value())
        if self._take() != ("sign", ")"):
            self.place -= 1
            raise self._error("')' is missing")
        return values

    def _value(self) -> float | str:
        kind, text = self._peek()
        if kind == "number":
            self._take()
            return float(text)
        if kind == "text":
            self._take()
            return text[1:-1].replace("''", "'")
        if kind == "field" and text in ("true", "false"):
            self._take()
            return text
        raise self._error("a number or a text in single quotes is missing")

    def _compared(self, field: str, sign: str, value: float | str) -> Condition:
        group, key = split_field(field)
        if group == "metrics":
            return self._metric(key, sign, value)
        if group == "params":
            column = "number" if isinstance(value, float) else "text"
            return _exists("run_params", column, key, sign, value)
        if group == "tags":
            return _exists("run_tags", "value", key, sign, _plain(value))
        if group or key not in _OWN:
            raise self._error(f"there is no field '{field}'", self.text.find(field))
        if key == "archived":
            return self._archived(sign, value)
        if key in _TIMES and isinstance(value, str):
            value = _time(value)
        return _test(f"r.{key}", sign, value if key in _TIMES else _plain(value))

    def _archived(self, sign: str, value: float | str) -> Condition:
        if sign not in ("=", "<>") or value not in ("true", "false"):
            raise self._error("'archived' is compared with true or false", self.text.find("archived"))
        self.names_archived = True
        wanted = ARCHIVED if (value == "true") == (sign == "=") else LISTED
        return Condition(f"r.shelf = {wanted}", [])

    def _metric(self, key: str, sign: str, value: float | str) -> Condition:
        if not isinstance(value, float):
            raise self._error(f"metric '{key}' is a number and cannot be compared with a text")
        return _exists("metric_summary", "last", key, sign, value)


def _exists(table: str, column: str, key: str, sign: str, value: float | str) -> Condition:
    test = _test(f"v.{column}", sign, value)
    sql = f"EXISTS (SELECT 1 FROM {table} v WHERE v.run = r.id AND v.key = ? AND {test.sql})"
    return Condition(sql, [key, *test.params])


def _test(column: str, sign: str, value: float | str | int) -> Condition:
    if sign == "contains":
        escaped = re.sub(r"([%_!])", r"!\1", str(value).lower())
        return Condition(f"LOWER({column}) LIKE ? ESCAPE '!'", [f"%{escaped}%"])
    return Condition(f"{column} {sign} ?", [value])


def _plain(value: float | str) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value


def _time(text: str) -> int:
    from datetime import UTC, datetime

    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"'{text}' is not a date or time: write '2026-11-01' or '2026-11-01T13:30'.") from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
