"""From a template and values to a page: filters, the navigation, and the security headers."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from headwater.api.identity import actor_of, root_project
from headwater.errors import UnauthenticatedError

HERE = Path(__file__).parent
NAVIGATION = (
    ("Overview", "/"),
    ("Data", "/data"),
    ("Runs", "/runs"),
    ("Jobs", "/jobs"),
    ("Models", "/models"),
    ("Releases", "/releases"),
    ("Serving", "/serving"),
    ("Monitoring", "/monitoring"),
    ("Trace", "/trace"),
)
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@functools.cache
def environment() -> Environment:
    """Return the templates, escaping everything, refusing names that are not given."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=when, ago=ago, size=size, count=count, number=number, short=short, percent=percent)
    made.globals.update(chart=chart, navigation=NAVIGATION)
    return made


def page(request: Request, template: str, /, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a rendered page; ``title`` is expected among the values."""
    project = root_project(request)
    try:
        actor = actor_of(request)
    except UnauthenticatedError:
        actor = None
    text = (
        environment()
        .get_template(template)
        .render(
            project=project.name,
            actor=actor,
            path=request.url.path,
            query=dict(request.query_params),
            now=project.clock(),
            csrf=csrf_token(request),
            **values,
        )
    )
    return HTMLResponse(text, status)


def csrf_token(request: Request) -> str:
    """Return the token that this session's forms carry."""
    import secrets

    session = request.scope.get("session")
    if session is None:
        return ""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def chart(spec: dict[str, Any], *, label: str) -> Markup:
    """Return the element that charts.js draws a Vega-Lite specification into; ``label`` is read to those who hear."""
    data = msgspec.json.encode(_finite(spec)).decode()
    return Markup('<figure class="chart" role="img" aria-label="{}" data-spec="{}"></figure>').format(label, data)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def when(at_us: int | None) -> Markup:
    """Return a time element: UTC to the minute, whole in its title."""
    if at_us is None:
        return Markup("<span class=muted>never</span>")
    moment = datetime.fromtimestamp(at_us / 1e6, UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        moment.isoformat(), moment.strftime("%Y-%m-%d %H:%M:%S.%f"), moment.strftime("%Y-%m-%d %H:%M")
    )


def ago(at_us: int | None, now_us: int) -> str:
    """Return how long ago something was, in its largest unit."""
    if at_us is None:
        return "never"
    seconds = max(0, (now_us - at_us) // 1_000_000)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def size(number_of_bytes: int | None) -> str:
    """Return a number of bytes in its unit."""
    value = float(number_of_bytes or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def count(value: int | None) -> str:
    """Return a whole number with thin groups; a dash when it is not known."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def number(value: float | int | None, digits: int = 4) -> str:
    """Return a measurement to some significant digits; NaN and infinities as they are called."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return count(value)
    return f"{value:.{digits}g}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def short(identifier: str | None, length: int = 8) -> str:
    """Return the end of an id, where ids of one moment differ."""
    return "" if not identifier else identifier if len(identifier) <= length else "…" + identifier[-length:]
