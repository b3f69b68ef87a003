"""Reading topics from given offsets to their end, and noticing what is gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

from ..errors import ConflictError, InvalidInputError, MissingExtraError, NotFoundError, UnavailableError
from .kafka_positions import Position, Positions, digest_of
from .kafka_rows import Record
from .secrets import scrubbed

if TYPE_CHECKING:
    from confluent_kafka import Message

_AT_ONCE = 5_000
_WAIT_S = 0.2
_LEFT_S = 0.005


class Limits(NamedTuple):
    """Where a pull ends at the latest. ``silence_s`` is how long the brokers may say nothing."""

    records: int
    bytes: int
    seconds: float
    silence_s: float


class _Rules(Protocol):
    gap: Literal["error", "record"]
    start: Literal["earliest", "latest"]


class Topics:
    """A connection to the cluster that reads some topics and commits nothing to it."""

    def __init__(self, servers: str, topics: list[str], options: dict[str, str], timeout_s: float, where: str) -> None:
        try:
            import confluent_kafka
        except ImportError:
            raise MissingExtraError("confluent-kafka", "kafka", "pulling from Kafka") from None
        self._kafka: Any = confluent_kafka
        self._topics = topics
        self._timeout_s = timeout_s
        self.where = where
        self.trouble = ""
        settings = {
            **options,
            "bootstrap.servers": servers,
            "group.id": "headwater",  # demanded by the library; with assigned partitions no group is joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # an offset that is not there is to be told, not jumped over
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "error_cb": self._note,
        }
        try:
            self.consumer = confluent_kafka.Consumer(settings, logger=logging.getLogger("headwater.kafka"))
        except confluent_kafka.KafkaException as error:
            raise InvalidInputError(
                f"Kafka's library refuses the options: {scrubbed(error.args[0].str())}. Correct 'options'."
            ) from None

    def _note(self, error: Any) -> None:
        self.trouble = scrubbed(error.str())

    def partitions(self) -> list[tuple[str, int]]:
        """Return the partitions of the topics, in order.

        Raises:
            NotFoundError: there is no such topic.
            UnavailableError: no broker answers.
        """
        found = []
        for topic in self._topics:
            try:
                about = self.consumer.list_topics(topic, timeout=self._timeout_s).topics[topic]
            except self._kafka.KafkaException as error:
                raise self.away(error.args[0].str()) from None
            if about.error is not None or not about.partitions:
                why = about.error.str() if about.error is not None else "it has no partitions"
                raise NotFoundError(
                    f"there is no topic '{topic}' at {self.where} ({why}). Check its name, and that this user may "
                    "read it.",
                    topic=topic,
                )
            found += [(topic, partition) for partition in sorted(about.partitions)]
        return found

    def watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset that is there, and where the broker says that the next one will be."""
        try:
            found = self.consumer.get_watermark_offsets(
                self._kafka.TopicPartition(topic, partition), timeout=self._timeout_s
            )
        except self._kafka.KafkaException as error:
            raise self.away(error.args[0].str()) from None
        if found is None:
            raise self.away("it did not say which offsets it has")
        low, high = found
        return int(low), int(high)

    def assign(self, places: dict[tuple[str, int], int]) -> None:
        """Begin to read each partition at an offset."""
        part = self._kafka.TopicPartition
        self.consumer.assign([part(topic, number, offset) for (topic, number), offset in places.items()])

    def seek(self, position: Position) -> None:
        """Go on reading a partition at its next offset."""
        self.consumer.seek(self._kafka.TopicPartition(position.topic, position.partition, position.next))

    def messages(self) -> list[Message]:
        """Return what came within a moment."""
        try:
            # Asked for many, the library waits out the whole time; so for one, and then for what is there already.
            found: list[Message] = self.consumer.consume(1, _WAIT_S)
            if found:
                found += self.consumer.consume(_AT_ONCE, _LEFT_S)
        except self._kafka.KafkaException as error:
            raise self.away(error.args[0].str()) from None
        return found

    def event(self, message: Message) -> Literal["record", "end", "out of range", "trouble"]:
        """Return what a message is."""
        error = message.error()
        if error is None:
            return "record"
        if error.code() == self._kafka.KafkaError._PARTITION_EOF:
            return "end"
        if error.code() in (self._kafka.KafkaError._AUTO_OFFSET_RESET, self._kafka.KafkaError.OFFSET_OUT_OF_RANGE):
            return "out of range"
        self._note(error)
        return "trouble"

    def away(self, why: str) -> UnavailableError:
        """Return the error for brokers that do not answer."""
        why = scrubbed(self.trouble or why)
        return UnavailableError(
            f"Kafka at {self.where} does not answer: {why}. Check that it is up, that 'servers' and 'options' are "
            "right, and that the brokers' advertised addresses can be reached from here; then pull again. Nothing was "
            "taken in.",
            where=self.where,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.consumer.close()


def read_new(
    topics: Topics, positions: Positions, rules: _Rules, limits: Limits, take: Callable[[Record], int]
) -> None:
    """Give ``take`` each record after the positions, which are moved along; it returns the bytes it took.

    Raises:
        ConflictError: records that were not pulled are gone, or a topic is another than it was.
        UnavailableError: a partition cannot be read.
    """
    reading = _Reading(topics, positions, rules, limits, take)
    reading.begin()
    reading.run()


class _Reading:
    def __init__(
        self, topics: Topics, positions: Positions, rules: _Rules, limits: Limits, take: Callable[[Record], int]
    ) -> None:
        self._topics = topics
        self._positions = positions
        self._rules = rules
        self._limits = limits
        self._take = take
        self._open: list[Position] = []
        self._records = self._bytes = 0

    def begin(self) -> None:
        """Assign the partitions: at the last record that was read, which is to be there as it was, or after it."""
        places = {}
        for topic, partition in self._topics.partitions():
            low, high = self._topics.watermarks(topic, partition)
            position = self._positions.find(topic, partition)
            if position is None:
                position = self._positions.begin(topic, partition, low if self._rules.start == "earliest" else high)
            elif position.next < low:
                self._go_on_at(position, low, f"offsets {position.next} to {low - 1} of {position.name}")
            self._open.append(position)
            anchor = position.anchor
            places[topic, partition] = anchor.offset if anchor and anchor.offset >= low else position.next
        self._topics.assign(places)

    def run(self) -> None:
        """Read until each partition ended, or a limit is reached."""
        begun = heard = time.monotonic()
        by_place = {(each.topic, each.partition): each for each in self._open}
        while not all(each.ended for each in self._open):
            for message in self._topics.messages():
                position = by_place.get((message.topic() or "", message.partition() or 0))
                if self._full():
                    return
                if self._topics.event(message) != "trouble" and position is not None:
                    heard = time.monotonic()
                    self._meet(position, message)
            now = time.monotonic()
            if self._full() or (now - begun > self._limits.seconds and self._records):
                return
            if now - heard > self._limits.silence_s:
                raise self._silent()

    def _full(self) -> bool:
        return self._records >= self._limits.records or self._bytes >= self._limits.bytes

    def _meet(self, position: Position, message: Message) -> None:
        what, offset = self._topics.event(message), message.offset()
        if offset is None:
            return
        if what == "out of range":
            self._out_of_range(position)
        elif what == "end":
            if offset < position.next:
                self._out_of_range(position)
                return
            position.ended = True
            position.next = offset  # behind the marks of transactions, which are no records
        else:
            self._meet_record(position, message, offset)

    def _meet_record(self, position: Position, message: Message, offset: int) -> None:
        key, value, stamp = _bytes(message.key()), _bytes(message.value()), message.timestamp()[1]
        digest = digest_of(stamp, key, value)
        if offset < position.next:
            anchor = position.anchor
            if anchor is not None and offset == anchor.offset and digest != anchor.digest:
                self._replaced(position)
            return
        headers: Any = message.headers() or []
        record = Record(position.topic, position.partition, offset, stamp, key, value, headers)
        self._bytes += self._take(record)
        self._records += 1
        position.take(offset, digest)

    def _out_of_range(self, position: Position) -> None:
        low, _ = self._topics.watermarks(position.topic, position.partition)
        if position.next < low:
            gone = f"offsets {position.next} to {low - 1} of {position.name}"
        else:
            gone = f"{position.name} ends before offset {position.next}, which it had: it was made anew or cut off"
        self._go_on_at(position, low, gone)
        self._topics.seek(position)

    def _replaced(self, position: Position) -> None:
        low, _ = self._topics.watermarks(position.topic, position.partition)
        gone = f"{position.name} holds another record at offset {position.next - 1} than before: it was made anew"
        self._go_on_at(position, low, gone)
        self._topics.seek(position)

    def _go_on_at(self, position: Position, low: int, gone: str) -> None:
        if self._rules.gap == "error":
            raise ConflictError(
                f"records are gone that were not pulled: {gone} (the first offset there is {low}). Nothing was taken "
                'in. Keep them longer in Kafka (retention.ms), pull more often, and write gap = "record" in the source '
                "to go on after them; the proof will name the gap.",
                topic=position.topic,
                partition=position.partition,
                expected=position.next,
                first=low,
            )
        position.gap, position.next, position.anchor, position.ended = gone, low, None, False

    def _silent(self) -> UnavailableError:
        waiting = [f"{each.name} at offset {each.next}" for each in self._open if not each.ended]
        return self._topics.away(
            f"nothing was heard for {self._limits.silence_s:g} s of {', '.join(waiting[:5])} (if the topic was made "
            "anew since the last pull, that offset is not there)"
        )


def _bytes(data: Any) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
