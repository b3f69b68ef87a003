"""Whether the parts of a split know of each other: equal rows, near-duplicates, groups on both sides, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.model.columns import is_missing, take

from .aging import times_us
from .data import as_text
from .metrics import Array
from .near import LONG_TEXT, alike_texts, nearly_in, row_keys, shuffled

Parts = Mapping[str, Mapping[str, Array]]
"""The columns of each part by name, the parts in the order of time."""

ALLOWED = 0.01
"""The share of near-duplicates, beyond what columns that have nothing to do with each other show, that may pass."""
_MOST_TEXTS = 10_000
_SAMPLE = 3
_SHOWN = 12


def leakage_checks(
    parts: Parts, columns: Sequence[str], *, group: str, time: str, seed: int = 0
) -> list[dict[str, Any]]:
    """Return each check of ``kinds``' leakage: each later part is held against all parts before it.

    ``columns`` are compared for equal rows and near-duplicates; ``group`` and ``time`` name columns, '' for none.
    """
    found = [_equal(parts, columns)]
    texts = [name for name in columns if _is_long(parts, name)]
    values = [name for name in columns if name not in texts]
    if len(values) >= 3:
        found.append(_nearly(parts, values, seed))
    found += [_alike(parts, name, seed) for name in texts]
    if group:
        found.append(_groups(parts, group))
    if time:
        found.append(_future(parts, time))
    return found


def _pairs(parts: Parts, columns: Sequence[str]) -> list[tuple[str, dict[str, Array], dict[str, Array]]]:
    """Return each later part with its columns, and those of all parts before it joined."""
    names = list(parts)
    found = []
    for place, name in enumerate(names[1:], 1):
        before = {c: np.concatenate([parts[each][c] for each in names[:place]]) for c in columns}
        found.append((name, {c: parts[name][c] for c in columns}, before))
    return found


def _equal(parts: Parts, columns: Sequence[str]) -> dict[str, Any]:
    count, of, sample = 0, 0, []
    for name, later, before in _pairs(parts, columns):
        known = set(row_keys(before))
        hit = np.fromiter((key in known for key in row_keys(later)), bool)
        count, of = count + int(hit.sum()), of + len(hit)
        sample += _rows(name, later, np.flatnonzero(hit))
    why = f"{count:,} of {of:,} rows of later parts are, value by value, also in an earlier part"
    return _check("equal rows", count == 0, count, of, why, sample)


def _nearly(parts: Parts, columns: Sequence[str], seed: int) -> dict[str, Any]:
    """Rows that agree in all columns but one, numbers in three digits, against what shuffled columns give by chance."""
    count, chance, of, sample = 0, 0, 0, []
    for name, later, before in _pairs(parts, columns):
        known = set(row_keys(before))
        other = np.fromiter((key not in known for key in row_keys(later)), bool)
        hit, _ = nearly_in(later, before)
        count, of = count + int((hit & other).sum()), of + int(other.sum())
        chance += int(nearly_in(shuffled(take(later, other), seed), before)[0].sum())
        sample += _rows(name, later, np.flatnonzero(hit & other))
    beyond = (count - chance) / max(of, 1)
    why = (
        f"{count:,} of {of:,} other rows of later parts agree with a row of an earlier part in all of {len(columns)} "
        f"columns but one; {chance:,} would by chance, and {ALLOWED:.0%} more may"
    )
    return _check("near-duplicates", beyond <= ALLOWED, count, of, why, sample)


def _alike(parts: Parts, column: str, seed: int) -> dict[str, Any]:
    count, of, sample = 0, 0, []
    for name, later, before in _pairs(parts, [column]):
        ours, theirs = (as_text(each[column]).tolist()[:_MOST_TEXTS] for each in (later, before))
        same = set(theirs)
        own = [k for k, text in enumerate(ours) if text not in same]
        pairs = alike_texts([ours[k] for k in own], theirs, seed=seed)
        count, of = count + len(pairs), of + len(own)
        sample += [
            {"part": name, "text": ours[own[a]][:200], "earlier": theirs[b][:200], "alike": round(share, 3)}
            for a, b, share in pairs[:_SAMPLE]
        ]
    why = f"{count:,} of {of:,} other texts of '{column}' in later parts nearly repeat one of an earlier part"
    return _check(f"near-duplicates of {column}", count <= ALLOWED * of, count, of, why, sample)


def _groups(parts: Parts, group: str) -> dict[str, Any]:
    count, of, sample = 0, 0, []
    for name, later, before in _pairs(parts, [group]):
        ours = np.unique(as_text(later[group])[~is_missing(later[group])])
        theirs = np.unique(as_text(before[group])[~is_missing(before[group])])
        both = np.intersect1d(ours, theirs)
        count, of = count + len(both), of + len(ours)
        sample += [{"part": name, group: str(each)} for each in both[:_SAMPLE]]
    why = f"{count:,} of {of:,} values of '{group}' in later parts are also in an earlier part"
    return _check(f"group {group}", count == 0, count, of, why, sample)


def _future(parts: Parts, time: str) -> dict[str, Any]:
    count, of, sample = 0, 0, []
    for name, later, before in _pairs(parts, [time]):
        start = times_us(later[time], time).min()
        ahead = times_us(before[time], time) >= start
        count, of = count + int(ahead.sum()), of + len(ahead)
        sample += [{"part": name, "begins": _moment(start), time: str(each)} for each in before[time][ahead][:_SAMPLE]]
    why = f"{count:,} of {of:,} rows of earlier parts are not before the later part begins, by '{time}'"
    return _check(f"time {time}", count == 0, count, of, why, sample)


def _check(name: str, passed: bool, found: int, of: int, why: str, sample: list[dict[str, Any]]) -> dict[str, Any]:
    return {"check": name, "passed": bool(passed), "found": found, "of": of, "why": why, "sample": sample[:_SAMPLE]}


def _rows(part: str, columns: Mapping[str, Array], places: Array) -> list[dict[str, Any]]:
    names = list(columns)[:_SHOWN]
    return [{"part": part, **{name: _shown(columns[name][k]) for name in names}} for k in places[:_SAMPLE].tolist()]


def _shown(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return plain if isinstance(plain, int | float | bool) or plain is None else str(plain)[:200]


def _is_long(parts: Parts, name: str) -> bool:
    values = next(iter(parts.values()))[name]
    if values.dtype.kind not in "OU" or not len(values):
        return False
    lengths = [len(each) for each in values[:1000].tolist() if isinstance(each, str)]
    return bool(lengths) and float(np.mean(lengths)) >= LONG_TEXT


def _moment(at_us: Any) -> str:
    return str(np.datetime64(int(at_us), "us").astype("datetime64[s]"))
