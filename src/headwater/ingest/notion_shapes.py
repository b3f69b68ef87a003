"""Notion's property values as the values of columns."""

from __future__ import annotations

from typing import Any

# Of these properties a page carries at most 25 references; the rest has an address of its own.
CUT_AT = 25
CUT = frozenset({"title", "rich_text", "people", "relation"})

_TYPES: dict[str, str | None] = {
    "title": "VARCHAR",
    "rich_text": "VARCHAR",
    "number": "DOUBLE",
    "select": "VARCHAR",
    "status": "VARCHAR",
    "multi_select": "VARCHAR[]",
    "people": "VARCHAR[]",
    "files": "VARCHAR[]",
    "relation": "VARCHAR[]",
    "checkbox": "BOOLEAN",
    "url": "VARCHAR",
    "email": "VARCHAR",
    "phone_number": "VARCHAR",
    "created_time": "TIMESTAMPTZ",
    "last_edited_time": "TIMESTAMPTZ",
    "created_by": "VARCHAR",
    "last_edited_by": "VARCHAR",
    "unique_id": "VARCHAR",
    # What these give is told by the values only.
    "formula": None,
    "rollup": None,
}
PLACE: dict[str, str | None] = {
    "notion_id": "VARCHAR",
    "notion_url": "VARCHAR",
    "notion_created_time": "TIMESTAMPTZ",
    "notion_last_edited_time": "TIMESTAMPTZ",
}


class Columns:
    """The columns of a data source: where a page stands, then its properties in the order of their names.

    A date is two columns of ISO texts, ``name`` and ``name end``, since a date may or may not have a time. Of files
    only the names are kept: their addresses are signed anew each time they are asked for. What is unknown is JSON.
    """

    def __init__(self, properties: dict[str, dict[str, Any]]) -> None:
        self.types: dict[str, str | None] = dict(PLACE)
        self._kinds: list[tuple[str, str]] = []
        for name in sorted(properties):
            kind = str(properties[name].get("type", ""))
            self._kinds.append((name, kind))
            self._add(name, properties[name], "VARCHAR" if kind == "date" else _TYPES.get(kind, "JSON"))
            if kind == "date":
                self._add(f"{name} end", properties[name], "VARCHAR")

    def _add(self, name: str, about: dict[str, Any], kind: str | None) -> None:
        # SQL tells columns apart by more than the case of their letters.
        if name.lower() in {each.lower() for each in self.types}:
            name = f"{name} ({about.get('id', len(self.types))})"
        self.types[name] = kind

    def row(self, page: dict[str, Any]) -> list[Any]:
        """Return a page's values."""
        row = [page["id"], page.get("url"), page.get("created_time"), page.get("last_edited_time")]
        for name, kind in self._kinds:
            found = page.get("properties", {}).get(name) or {"type": kind, kind: None}
            if kind == "date":
                date = found.get("date") or {}
                row += [date.get("start"), date.get("end")]
            else:
                row.append(value_of(found))
        return row


def value_of(found: dict[str, Any]) -> Any:
    """Return the plain value of a property."""
    kind = found.get("type", "")
    value = found.get(kind)
    if value is None:
        return None
    if kind in ("title", "rich_text"):
        return plain(value)
    if kind in ("select", "status"):
        return value.get("name")
    if kind == "multi_select":
        return [each["name"] for each in value]
    if kind in ("people", "files"):
        return [each.get("name") or each.get("id") for each in value]
    if kind == "relation":
        return [each["id"] for each in value]
    if kind in ("created_by", "last_edited_by"):
        return value.get("name") or value.get("id")
    if kind == "unique_id":
        return f"{value['prefix']}-{value['number']}" if value.get("prefix") else str(value["number"])
    if kind == "formula":
        return _computed(value)
    if kind == "rollup":
        return [value_of(each) for each in value["array"]] if value.get("type") == "array" else _computed(value)
    if kind == "date":
        return f"{value['start']}/{value['end']}" if value.get("end") else value["start"]
    return value


def plain(texts: list[dict[str, Any]]) -> str:
    """Return rich text without its marks."""
    return "".join(each.get("plain_text", "") for each in texts)


def _computed(value: dict[str, Any]) -> Any:
    kind = value.get("type", "")
    return value_of({"type": kind, kind: value.get(kind)})
