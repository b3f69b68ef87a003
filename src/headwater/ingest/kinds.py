"""The kinds of sources, each loaded when a declaration names it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError
from .source import Source

KINDS: dict[str, str] = {
    "files": "files:FilesSource",
    "http": "http:HttpSource",
    "page": "pages:PageSource",
    "pdf": "pdf:PdfSource",
    "webhook": "webhook:WebhookSource",
    "sql": "databases:SqlSource",
    "bucket": "buckets:BucketSource",
    "kafka": "kafka:KafkaSource",
    "events": "event_log:EventsSource",
    "notion": "notion:NotionSource",
}
"""By the word that ``kind =`` takes: module and class in this package."""


def make_source(kind: str, settings: dict[str, Any], *, root: Path) -> Source:
    """Return a source of a kind with its settings.

    Raises:
        InvalidInputError: there is no such kind, or a setting cannot be used.
    """
    if kind not in KINDS:
        raise InvalidInputError(f"there is no kind of source '{kind}'. There are: {', '.join(KINDS)}.", kind=kind)
    module, _, name = KINDS[kind].partition(":")
    made: type[Source] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return made.from_settings(settings, root=root)
