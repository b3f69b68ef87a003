"""When the tasks of a run were executed, as SVG: a row for each task where they are few, else one for each step."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from headwater.flow.progressing import Span

_WIDTH, _NAMES, _ROW, _BAR = 1160, 230, 22, 14
_MOST_TASKS = 30
_MOST_ROWS = 60
_COLUMNS = 400


def draw(spans: Sequence[Span], start: int, end: int) -> Markup:
    """Return the SVG of spans between two times in UTC microseconds; bars that touch within a pixel become one."""
    alone = len(spans) <= _MOST_TASKS
    rows: dict[tuple[str, int], list[Span]] = {}
    for number, span in enumerate(spans):
        rows.setdefault((span.step, number if alone else 0), []).append(span)
    shown = list(rows.items())[:_MOST_ROWS]
    left_out = len(rows) - len(shown)
    length = max(end - start, 1)
    height = len(shown) * _ROW + 34 + (_ROW if left_out else 0)
    parts = [_axis(length, height - 22)]
    for number, ((step, _), several) in enumerate(shown):
        parts.append(_row(step, several, start, length, number * _ROW + 4))
    if left_out:
        parts.append(f'<text x="0" y="{height - 30}">and {left_out} more steps</text>')
    label = f"When {len(spans)} tasks were executed, over {_time(length)}"
    return Markup(
        f'<svg class="timeline" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _row(step: str, spans: Sequence[Span], start: int, length: int, y: int) -> str:
    name = step.rpartition("/")[0] + "/" * ("/" in step) + step.rpartition(":")[2]
    text = name if len(name) <= 32 else "…" + name[-31:]
    count = f" × {len(spans):,}" if len(spans) > 1 else ""
    bars = "".join(_bars(spans, start, length, y))
    return (
        f'<text x="{_NAMES - 8}" y="{y + 12}" text-anchor="end">{escape(text + count)}'
        f"<title>{escape(step)}</title></text>{bars}"
    )


def _bars(spans: Sequence[Span], start: int, length: int, y: int) -> list[str]:
    wide = _WIDTH - _NAMES - 8
    if len(spans) == 1:
        [span] = spans
        x = _NAMES + wide * max(span.started_at - start, 0) / length
        width = max(2.0, wide * (span.ended_at - span.started_at) / length)
        told = f"{span.outcome}, {_time(span.ended_at - span.started_at)}"
        return [_bar(x, y, min(width, _WIDTH - x), span.outcome, told)]
    # What is drawn does not grow with the number of tasks: per outcome one bar for each stretch without a gap.
    found = []
    for outcome in sorted({span.outcome for span in spans}):
        mine = [span for span in spans if span.outcome == outcome]
        columns: set[int] = set()
        for span in mine:
            first = int(_COLUMNS * max(span.started_at - start, 0) / length)
            last = int(_COLUMNS * max(span.ended_at - start, 0) / length)
            columns.update(range(min(first, _COLUMNS - 1), min(last, _COLUMNS - 1) + 1))
        for first, last in _stretches(sorted(columns)):
            x, width = _NAMES + wide * first / _COLUMNS, wide * (last + 1 - first) / _COLUMNS
            found.append(_bar(x, y, width, outcome, f"{len(mine):,} tasks {outcome}"))
    return found


def _stretches(columns: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for column in columns:
        if found and column == found[-1][1] + 1:
            found[-1] = (found[-1][0], column)
        else:
            found.append((column, column))
    return found


def _bar(x: float, y: int, width: float, outcome: str, told: str) -> str:
    return (
        f'<rect class="{escape(outcome)}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2">'
        f"<title>{escape(told)}</title></rect>"
    )


def _axis(length: int, y: int) -> str:
    parts = []
    wide = _WIDTH - _NAMES - 8
    for part in range(5):
        x = _NAMES + wide * part / 4
        anchor = "start" if part == 0 else "end" if part == 4 else "middle"
        parts.append(f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{y}"/>')
        told = _time(length * part // 4)
        parts.append(f'<text class="at" x="{x:.1f}" y="{y + 16}" text-anchor="{anchor}">{told}</text>')
    return "".join(parts)


def _time(length_us: int) -> str:
    seconds = length_us / 1e6
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.1f} s" if seconds >= 1 or not length_us else f"{seconds * 1000:.0f} ms"
