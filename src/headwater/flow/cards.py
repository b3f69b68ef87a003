"""Cards: what a step leaves to be shown, checked and made into bytes when it is left; kept with its result."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest
from headwater.errors import InvalidInputError, NotFoundError
from headwater.ledger.values import escape_text, unescape_text
from headwater.operation import operation

if TYPE_CHECKING:
    from headwater.ledger import WriteTx
    from headwater.project import Project

KINDS = ("html", "markdown", "table", "chart", "image")
MOST_ROWS = 1000
_MOST_TEXT_BYTES = 4 << 20
_MOST_IMAGE_BYTES = 16 << 20
_MOST_CELL = 300
_CHART_WORDS = {"mark", "layer", "hconcat", "vconcat", "concat", "facet", "repeat", "spec"}
_MEDIA = {
    "html": "text/html", "markdown": "text/markdown", "table": "application/json",
    "chart": "application/vnd.vegalite+json",
}  # fmt: skip


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One card as a step left it."""

    kind: str
    title: str
    media: str
    data: bytes

    @property
    def digest(self) -> str:
        """The digest of its bytes."""
        return digest(self.data)


class CardInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One card as it is kept: of which task, what it is, and the object that holds it."""

    task: str
    step: str
    position: int
    kind: str
    title: str
    media: str
    digest: str
    size: int


def make_card(content: Any, title: str = "", kind: str | None = None) -> Card:
    """Return content as a card; ``kind`` is one of ``KINDS``, found out where it is not given.

    Raises:
        InvalidInputError: it cannot be shown; the message says why.
    """
    if kind is not None and kind not in KINDS:
        raise InvalidInputError(f"there is no card of kind '{kind}'. There are: {', '.join(KINDS)}.", kind=kind)
    if isinstance(content, Path):
        kind, content = kind or _kind_of_file(content), content.read_bytes()
    found = kind or _kind_of(content)
    if found is None:
        raise InvalidInputError(
            f"a {type(content).__module__}.{type(content).__qualname__} cannot be shown as a card. Give a text "
            "(Markdown), HTML with kind='html', a frame, a Vega-Lite specification, or an image."
        )
    if found == "image":
        data, media = _image(content)
    else:
        data, media = _bytes_of(found, content), _MEDIA[found]
    most = _MOST_IMAGE_BYTES if found == "image" else _MOST_TEXT_BYTES
    if len(data) > most:
        raise InvalidInputError(
            f"a card of kind '{found}' has at most {most >> 20} MiB, and this one has {len(data) / 2**20:.1f}. Show "
            "less of it, and keep the whole as an artefact (hw.log_artefact).",
            size=len(data),
        )
    return Card(kind=found, title=str(title)[:200], media=media, data=data)


def _kind_of(content: Any) -> str | None:
    if isinstance(content, str):
        return "html" if content.lstrip()[:14].lower().startswith(("<!doctype html", "<html")) else "markdown"
    if isinstance(content, bytes | bytearray):
        return "image" if _media_of(bytes(content)) else None
    if isinstance(content, dict):
        return "chart" if _CHART_WORDS & content.keys() else None
    if hasattr(content, "savefig") or _is_picture(content):
        return "image"
    if hasattr(content, "to_dict") and hasattr(content, "mark_point"):
        return "chart"
    return "table" if _is_frame(content) else None


def _kind_of_file(path: Path) -> str:
    ending = path.suffix.lower()
    kinds = {".html": "html", ".htm": "html", ".md": "markdown", ".png": "image", ".jpg": "image", ".jpeg": "image",
             ".svg": "image"}  # fmt: skip
    if ending not in kinds:
        raise InvalidInputError(
            f"the file {path} cannot be shown as a card: its name ends in none of {', '.join(kinds)}. Say kind=..., "
            "or keep it as an artefact (hw.log_artefact)."
        )
    return kinds[ending]


def _bytes_of(kind: str, content: Any) -> bytes:
    if kind in ("html", "markdown"):
        if isinstance(content, bytes | bytearray):
            return bytes(content)
        return str(content).encode("utf-8", "replace")
    if kind == "chart":
        return _chart(content)
    return msgspec.json.encode(_table(content))


def _chart(content: Any) -> bytes:
    spec = content.to_dict() if hasattr(content, "to_dict") else content
    if isinstance(spec, bytes | str):
        spec = msgspec.json.decode(spec)
    if not isinstance(spec, dict):
        raise InvalidInputError("a chart is a Vega-Lite specification: a dict with 'mark' and 'encoding'.")
    if _names_address(spec):
        raise InvalidInputError(
            "the chart asks for its data by an address, and a page asks no other server. Put the rows into the "
            "specification: {'data': {'values': [...]}}."
        )
    return msgspec.json.encode(_plain(spec), enc_hook=str)


def _names_address(spec: Any) -> bool:
    waiting = [spec]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(each.get("data"), dict) and "url" in each["data"]:
                return True
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
    return False


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _is_frame(content: Any) -> bool:
    if isinstance(content, list | tuple):
        return bool(content) and all(isinstance(each, dict) for each in content)
    return hasattr(content, "columns") and (hasattr(content, "itertuples") or hasattr(content, "rows"))


def _table(content: Any) -> dict[str, Any]:
    """Return columns, at most ``MOST_ROWS`` rows of short cells, and how many rows there are in all."""
    if isinstance(content, list | tuple) and _is_frame(content):
        columns = list(dict.fromkeys(key for row in content[:MOST_ROWS] for key in row))
        rows: Iterable[Sequence[Any]] = [[row.get(name) for name in columns] for row in content[:MOST_ROWS]]
        total = len(content)
    elif hasattr(content, "to_pandas") and not hasattr(content, "rows"):
        return _table(content.to_pandas())
    elif _is_frame(content):
        columns, total, first = list(content.columns), len(content), content[:MOST_ROWS]
        rows = first.rows() if hasattr(first, "rows") else first.itertuples(index=False, name=None)
    else:
        raise InvalidInputError(
            f"a {type(content).__qualname__} cannot be shown as a table. Give a frame or a list of dicts."
        )
    return {
        "columns": [str(name) for name in columns],
        "rows": [[_cell(value) for value in row] for row in rows],
        "total": total,
    }


def _cell(value: Any) -> Any:
    value = _plain(value)
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    text = str(value)
    return text if len(text) <= _MOST_CELL else text[:_MOST_CELL] + "…"


def _is_picture(content: Any) -> bool:
    return type(content).__module__.startswith("PIL.") and hasattr(content, "save")


def _image(content: Any) -> tuple[bytes, str]:
    if hasattr(content, "savefig"):
        held = io.BytesIO()
        content.savefig(held, format="png", bbox_inches="tight")
        return held.getvalue(), "image/png"
    if _is_picture(content):
        held = io.BytesIO()
        content.save(held, format="PNG")
        return held.getvalue(), "image/png"
    data = content.encode() if isinstance(content, str) else bytes(content)
    media = _media_of(data)
    if media is None:
        raise InvalidInputError(f"an image is PNG, JPEG or SVG, and these {len(data):,} bytes are none of them.")
    return data, media


def _media_of(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    head = data[:1000].lstrip().lower()
    return "image/svg+xml" if head.startswith((b"<svg", b"<?xml", b"<!--")) and b"<svg" in head else None


def write_cards(tx: WriteTx, owner: str, cards: Sequence[Sequence[Any]]) -> None:
    """Record the cards of a result (``result:<id>``) or of a task that gave none (``task:<id>``).

    Each is kind, title, media, digest and size, as a worker tells them.
    """
    tx.execute("DELETE FROM cards WHERE owner = ?", (owner,))
    tx.insert_many(
        "cards",
        ("owner", "position", "kind", "title", "media", "digest", "size"),
        [
            (owner, place, kind, escape_text(title), media, found, size)
            for place, (kind, title, media, found, size) in enumerate(cards)
        ],
    )


@operation("flow.cards", needs="run:read")
def list_cards(project: Project, run: str, *, limit: int = 200) -> list[CardInfo]:
    """Return what the steps of a run left to be shown, in the order of the flow's calls; remembered steps' as well.

    Raises:
        NotFoundError: there is no such run.
    """
    from headwater.track.runs import find_id

    identifier = find_id(project, run)
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT t.id AS task, t.step AS step, c.position AS place, c.kind AS kind, c.title AS title, "
            "c.media AS media, c.digest AS digest, c.size AS size FROM tasks t "
            "JOIN cards c ON c.owner = 'result:' || t.result WHERE t.run = ? "
            "UNION ALL SELECT t.id, t.step, c.position, c.kind, c.title, c.media, c.digest, c.size FROM tasks t "
            "JOIN cards c ON c.owner = 'task:' || t.id WHERE t.run = ? ORDER BY 1, 3 LIMIT ?",
            (identifier, identifier, limit),
        )
    return [
        CardInfo(
            task=row.task, step=row.step, position=row.place, kind=row.kind, title=unescape_text(row.title),
            media=row.media, digest=row.digest, size=row.size,
        )
        for row in rows
    ]  # fmt: skip


@operation("flow.card", needs="run:read")
def read_card(project: Project, task: str, position: int) -> Card:
    """Return one card of a task (``task:<id>``), by its number from 0.

    Raises:
        NotFoundError: the task left none of that number.
        GoneError: its bytes were collected.
    """
    identifier = task.removeprefix("task:")
    with project.ledger.read() as tx:
        row = tx.one(
            "SELECT c.kind AS kind, c.title AS title, c.media AS media, c.digest AS digest FROM tasks t "
            "JOIN cards c ON c.owner IN ('result:' || t.result, 'task:' || t.id) WHERE t.id = ? AND c.position = ?",
            (identifier, position),
        )
    if row is None:
        raise NotFoundError(f"the task {identifier} left no card {position}.", task=task)
    data = project.objects.get(row.digest)
    return Card(kind=row.kind, title=unescape_text(row.title), media=row.media, data=data)
