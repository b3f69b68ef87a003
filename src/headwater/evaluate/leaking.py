"""Whether the parts of a split know of each other: equal rows, near-duplicates, groups on both sides, time."""

from __future__ import annotations

from collections import Counter
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
"""How many texts of a side are held against the other side by their shingles."""
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
    """Texts that repeat one of an earlier part: word for word among all of them, nearly among at most so many."""
    copies = nearly = of = 0
    beyond, sample, drawn = 0.0, [], []
    for name, later, before in _pairs(parts, [column]):
        ours, theirs = (_texts(each[column]) for each in (later, before))
        known = set(theirs)
        same, other = [text for text in ours if text in known], [text for text in ours if text not in known]
        own, earlier = _some(other, seed), _some(sorted(known), seed)
        pairs = alike_texts(own, earlier, seed=seed)
        copies, nearly, of = copies + len(same), nearly + len(pairs), of + len(ours)
        beyond += max(0.0, len(same) - min(_recurring(ours), _recurring(theirs)) * len(ours))
        # A pair is found only where both of it were drawn.
        beyond += len(pairs) * len(other) / max(len(own), 1) * len(known) / max(len(earlier), 1)
        if (len(own), len(earlier)) != (len(other), len(known)):
            drawn.append(f"{len(own):,} of {len(other):,} in {name} against {len(earlier):,} of {len(known):,} before")
        sample += [{"part": name, "text": text[:200], "earlier": text[:200], "alike": 1.0} for text in same[:_SAMPLE]]
        sample += [
            {"part": name, "text": own[a][:200], "earlier": earlier[b][:200], "alike": round(share, 3)}
            for a, b, share in pairs[:_SAMPLE]
        ]
    why = f"{copies:,} of {of:,} texts of '{column}' in later parts stand in an earlier part word for word"
    why += f", {nearly:,} nearly so"
    if drawn:
        why += f" (looked for among texts drawn at random: {'; '.join(drawn)})"
    return _check(f"near-duplicates of {column}", beyond <= ALLOWED * of, copies + nearly, of, why, sample)


def _texts(values: Array) -> list[str]:
    return [str(each) for each in as_text(values[~is_missing(values)]).tolist()]


def _some(texts: list[str], seed: int) -> list[str]:
    """Return texts, at random ``_MOST_TEXTS`` of them where there are more."""
    if len(texts) <= _MOST_TEXTS:
        return texts
    return [texts[k] for k in np.random.default_rng(seed).permutation(len(texts))[:_MOST_TEXTS].tolist()]


def _recurring(texts: list[str]) -> float:
    """Return the share of texts that stand in one part more than once: copies that say nothing about a leak."""
    times = Counter(texts)
    return sum(times[text] > 1 for text in texts) / max(len(texts), 1)


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
