"""The source of kind ``kafka``: what is new in topics, as one Parquet file per pull, each record exactly once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import msgspec

from ..errors import InvalidInputError
from ..lake import Entry
from .intake import Intake
from .kafka_positions import Positions
from .kafka_reading import Limits, Topics, read_new
from .kafka_rows import RowShape
from .row_files import RowFile
from .secrets import PREFIX, resolve_secret
from .source import Pulled, Source, read_settings
from .values import Planned

_SECRET_OPTIONS = ("password", "secret", "key.pem", "token")


class KafkaSettings(msgspec.Struct, kw_only=True):
    """What ``kind = "kafka"`` takes.

    ``servers``: ``host:port,host:port`` or ``env:NAME``. ``value``: how record values are read (``json``, ``text``,
    ``bytes``); with ``columns`` (name: type) the fields of a JSON object become columns. ``bad``: what a value that
    cannot be read does: ``error`` ends the pull, ``keep`` keeps its bytes and the reason in columns of their own.
    ``gap``: what records that are gone from the topic before they were pulled do: ``error``, or ``record``, which goes
    on after them and says so in the proof. ``start`` is where a partition without a state begins. A pull ends where the
    topics end, or at one of the limits. ``options`` are librdkafka's own (``security.protocol``, ``sasl.username``,
    ...), secrets as ``env:NAME``.
    """

    servers: str
    topics: str | list[str]
    value: Literal["json", "text", "bytes"] = "json"
    columns: dict[str, str] = msgspec.field(default_factory=dict)
    bad: Literal["error", "keep"] = "error"
    gap: Literal["error", "record"] = "error"
    start: Literal["earliest", "latest"] = "earliest"
    max_records: int = 1_000_000
    max_bytes: int = 256 * 2**20
    max_seconds: float = 300
    timeout_s: float = 20
    path: str = ""
    options: dict[str, str] = msgspec.field(default_factory=dict)


class KafkaSource(Source):
    """Topics of a Kafka cluster.

    Partitions are assigned, no group is joined, and no offset is committed to Kafka: where a pull ended is recorded
    with its version, in one transaction, so that a crash at any moment neither loses nor repeats a record.
    """

    kind: ClassVar[str] = "kafka"

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topics = [settings.topics] if isinstance(settings.topics, str) else list(settings.topics)
        self._shape = RowShape(settings.value, settings.columns, keep_bad=settings.bad == "keep")

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        given = read_settings(cls.kind, settings, KafkaSettings)
        _require_usable(given)
        return cls(given)

    @property
    def text(self) -> str:
        return f"{self._settings.servers} {','.join(self._topics)}"

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        settings = self._settings
        positions = Positions.of(since)
        with tempfile.TemporaryDirectory(dir=into.folder) as name, self._connected() as topics:
            folder = Path(name)
            with RowFile(folder, self._shape.columns) as rows:
                read_new(topics, positions, settings, self._limits(), lambda record: rows.add(self._shape.row(record)))
                if rows.rows:
                    target = folder / "part.parquet"
                    rows.write(target, order_by=("kafka_topic", "kafka_partition", "kafka_offset"))
                    positions.parts += 1
                    proof = {"from": self.text, "read_at": into.now(), "offsets": positions.proof()}
                    into.put_file(self._part(positions.parts), target, proof=proof)
                note = f"{rows.rows:,} records"
        gaps = positions.gaps()
        if gaps:
            note += f"; gone before they were pulled: {'; '.join(gaps)}"
        return Pulled(state=positions.state(), note=note)

    def _part(self, number: int) -> str:
        return f"{self._settings.path or '-'.join(self._topics)}/part-{number:08d}.parquet"

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        known = Positions.of(since)
        planned = []
        with self._connected() as topics:
            for topic, partition in topics.partitions():
                low, high = topics.watermarks(topic, partition)
                start = known.next_of(topic, partition, low)
                planned.append(
                    Planned(act="fetch", what=f"{topic}[{partition}]", why=f"from offset {start}; it ends near {high}")
                )
        return planned

    def behind(self, since: dict[str, Any] | None) -> int:
        """Return how many offsets the topics are ahead of where the last pull ended."""
        known = Positions.of(since)
        ahead = 0
        with self._connected() as topics:
            for topic, partition in topics.partitions():
                low, high = topics.watermarks(topic, partition)
                first = low if self._settings.start == "earliest" else high
                ahead += max(0, high - max(low, known.next_of(topic, partition, first)))
        return ahead

    def test(self) -> str:
        with self._connected() as topics:
            return f"{len(topics.partitions())} partitions of {', '.join(self._topics)} at {self._settings.servers}"

    def _limits(self) -> Limits:
        given = self._settings
        return Limits(given.max_records, given.max_bytes, given.max_seconds, given.timeout_s)

    def _connected(self) -> Topics:
        options = {name: resolve_secret(value) for name, value in self._settings.options.items()}
        servers = resolve_secret(self._settings.servers)
        return Topics(servers, self._topics, options, self._settings.timeout_s, where=self._settings.servers)


def _require_usable(given: KafkaSettings) -> None:
    if not given.topics:
        raise InvalidInputError("a source of kind 'kafka' needs at least one topic.")
    if given.columns and given.value != "json":
        raise InvalidInputError(f"'columns' are fields of JSON objects, and value is '{given.value}'. Leave one out.")
    if min(given.max_records, given.max_bytes, given.max_seconds, given.timeout_s) <= 0:
        raise InvalidInputError("max_records, max_bytes, max_seconds and timeout_s are more than 0.")
    for name, value in given.options.items():
        if any(part in name for part in _SECRET_OPTIONS) and not value.startswith(PREFIX):
            raise InvalidInputError(
                f"the option '{name}' is a secret, which would be kept with the project: put it into an environment "
                f'variable and write "{name}" = "env:NAME".'
            )
        if name in _OURS:
            raise InvalidInputError(f"the option '{name}' is set by the source itself: leave it out.")


_OURS = frozenset(
    {
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "isolation.level",
    }
)
