"""A model behind somebody's HTTP API: a cloud vendor as baseline or incumbent. Kept are its description and answers.

``api.json`` says how one row is asked and where its answer is::

    {"format": "headwater-api/1", "url": "https://vision.example.com/v1/annotate",
     "headers": {"Authorization": "Bearer env:VISION_KEY"},
     "body": {"image": {"content": {"$input": "image"}}},
     "answer": {"text": "/responses/0/fullTextAnnotation/text"},
     "per_second": 5, "cost_per_call": 0.0015, "currency": "USD", "most_cost": 20}

``{"$input": NAME}`` stands for a value of the row; ``answer`` holds a JSON pointer (RFC 6901) for each raw output.
``answers.jsonl`` has a line for each row that was asked before, by the digest of its inputs; such a row is not asked
again, so that what was measured once can be measured again without a network, and for nothing. What is asked to
measure or to record is kept elsewhere as it arrives (``model.answers``).

Asking sends rows, and secrets of the environment, to where the description says: so nobody is asked before an admin
trusted the description, by its digest (``api:DIGEST``), as one trusts code. Recorded answers need no trust.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from headwater.canonical import digest, digest_of
from headwater.errors import CorruptError, HeadwaterError, InvalidInputError, RefusedError, UnavailableError
from headwater.ingest.fetching import require_no_secrets, split_url

from ..contract import Contract
from .asking import post_json
from .files import ANSWERS, Files, given_files
from .outputs import Array, NamedOutputs

ENGINES: tuple[str, ...] = ()
FORMAT = "headwater-api/1"
MANIFEST = "api.json"
MOST_RETRIES = 10
LONGEST_WAIT_S = 300.0
KEEP_S = 0.25
"""Answers wait no longer than this to be kept: a machine that goes down loses what was paid for in that time."""

MOST_HEADERS, LONGEST_HEADER = 50, 8_192
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Headers by which a server tells where a request ends and whom it is for."""

_INPUT = "$input"


class Api(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``api.json`` says.

    ``per_second`` is how many calls are begun in a second at most, ``most_cost`` what one process may spend, in
    ``currency``. ``answers``: ``recorded`` asks nobody, ``live`` asks always, ``recorded_first`` asks for what is new.
    ``allow_private``: true, or the hosts that may be off the public network.
    """

    format: str
    url: str
    body: Any
    answer: dict[str, str]
    headers: dict[str, str] = {}
    answers: Literal["recorded_first", "recorded", "live"] = "recorded_first"
    per_second: float | None = None
    cost_per_call: float = 0.0
    currency: str = ""
    most_cost: float | None = None
    timeout_s: float = 10.0
    retries: int = 2
    allow_private: bool | list[str] = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has asked of an API since it opened it: calls, answers taken from the record, and the cost."""

    calls: int
    recorded: int
    cost: float
    currency: str


class Kept(Protocol):
    """Where answers are kept as they arrive, by the digest of the row."""

    def find(self, rows: Sequence[str]) -> dict[str, dict[str, Any]]: ...
    def add(self, answers: Mapping[str, dict[str, Any]]) -> None: ...


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the files of an API: its description, and the answers that were recorded.

    Raises:
        InvalidInputError: a credential is written out, an address is none, or the body names no input of the contract.
        CorruptError: a file cannot be read.
    """
    files = given_files(model, "an HTTP API")
    api = _read(files)
    named = set(_inputs_of(api.body))
    unknown = named - {field.name for field in contract.inputs}
    if unknown or not named:
        raise InvalidInputError(
            f"the body of {MANIFEST} takes {', '.join(sorted(unknown)) or 'no input'}; the contract has "
            f"{', '.join(field.name for field in contract.inputs)}."
        )
    return {name: files[name] for name in (MANIFEST, ANSWERS) if name in files}


def trust_name(files: Files) -> str:
    """Return how an API's description is named where it is trusted: ``api:DIGEST``."""
    return f"api:{digest(files[MANIFEST])}"


def asked_name(files: Files) -> str:
    """Return what names the answers of an API: equal where the same is asked of the same address, at whatever rate."""
    api = _read(files)
    return digest_of([api.url, api.headers, api.body, api.answer])


def load(files: Files, contract: Contract, trusted: Sequence[str] = (), *, keep: Kept | None = None) -> ApiPredictor:
    """Return what asks the API where its description is ``trusted``, and answers recorded rows in any case.

    With ``keep``, what is answered is kept there as it arrives, and what was kept before is not asked again.

    Raises:
        CorruptError: a file cannot be read.
        InvalidInputError: a credential is written out, or an address is none.
    """
    api, answers = _read(files), read_answers(files)
    return ApiPredictor(api, answers, contract, may_ask=trust_name(files) in trusted, keep=keep)


def describe(files: Files) -> dict[str, Any]:
    """Return where the API is, what it costs, and how many answers are recorded, without asking it.

    The address is told without its query, which may hold a key. An API that asks nobody needs no trust.
    """
    api = _read(files)
    return {
        "url": api.url.partition("#")[0].partition("?")[0],
        "per_second": api.per_second,
        "cost_per_call": api.cost_per_call,
        "currency": api.currency,
        "recorded": len(read_answers(files)),
        "untrusted": [] if api.answers == "recorded" else [trust_name(files)],
        "bytes": sum(map(len, files.values())),
    }


class ApiPredictor:
    """Asks an API row by row, within its rate and what may be spent; recorded rows are not asked."""

    def __init__(
        self,
        api: Api,
        recorded: Mapping[str, dict[str, Any]],
        contract: Contract,
        *,
        may_ask: bool = False,
        keep: Kept | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._recorded = dict(recorded)
        self._contract = contract
        self._named = NamedOutputs(contract)
        self._may_ask, self._keep = may_ask, keep
        self._clock, self._wait = clock, wait
        self._guard = threading.Lock()
        self._next_at = 0.0
        self._calls = self._from_record = 0
        self._not_kept: dict[str, dict[str, Any]] = {}  # answers that arrived since the last were kept
        self._kept_at = clock()

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,).

        Raises:
            RefusedError: the row is not recorded and nobody may be asked, or the cost would pass ``most_cost``.
            InvalidInputError: a secret is not in the environment, or cannot be sent.
            UnavailableError: the API does not answer, or its rate would make the caller wait longer than ``timeout_s``.
        """
        from ..columns import rows_from_columns

        rows = rows_from_columns(self._contract.inputs, columns)
        keys = [digest_of(row) for row in rows]
        self._find(keys)
        asked: dict[str, dict[str, Any]] = {}
        known = len(self._recorded)
        try:
            found = [self._answer(row, key, asked) for row, key in zip(rows, keys, strict=True)]
        except HeadwaterError as error:
            raise self._told(error, len(self._recorded) - known) from error
        finally:
            self._write()
        return self._named({name: _column([each[name] for each in found]) for name in self._api.answer})

    @property
    def recorded(self) -> dict[str, dict[str, Any]]:
        """The answers known by the digest of their inputs: those of the file, with ``keep`` those of rows since too."""
        return dict(self._recorded)

    def usage(self) -> Usage:
        """Return what was asked and spent since the model was opened."""
        cost = self._calls * self._api.cost_per_call
        return Usage(calls=self._calls, recorded=self._from_record, cost=cost, currency=self._api.currency)

    def _answer(self, row: dict[str, Any], key: str, asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return the answer of a row, whose digest is ``key``; ``asked`` are those of its batch so far."""
        known = None if self._api.answers == "live" else self._recorded.get(key) or asked.get(key)
        if known is not None:
            self._from_record += 1
            return known
        if self._api.answers == "recorded":
            raise RefusedError(
                f"this row was not recorded, and '{MANIFEST}' says that nobody is asked (answers = recorded). "
                "Record it with 'hw model record', or register the API with answers = recorded_first."
            )
        if not self._may_ask:
            raise RefusedError(
                f"this row was not recorded, and asking would send it, with secrets of this machine, to "
                f"{split_url(self._api.url).hostname}, which no admin trusted. Read {MANIFEST}, then trust it with "
                "'hw model trust MODEL@vN'."
            )
        told = post_json(
            self._api.url, _filled(self._api.body, row), headers=self._api.headers, timeout_s=self._api.timeout_s,
            retries=self._api.retries, private=self._api.allow_private, before=self._take_turn,
        )  # fmt: skip
        found = {name: _at(told, pointer, name) for name, pointer in self._api.answer.items()}
        if self._keep is None:
            asked[key] = found
        else:
            self._recorded[key] = self._not_kept[key] = found
            if self._clock() - self._kept_at >= KEEP_S:
                self._write()
        return found

    def _find(self, keys: list[str]) -> None:
        """Take in what was kept before of some rows; who asks always (``live``) is told nothing of it."""
        if self._keep is not None and self._api.answers != "live":
            self._recorded |= self._keep.find([key for key in dict.fromkeys(keys) if key not in self._recorded])
            self._kept_at = self._clock()

    def _write(self) -> None:
        """Keep the answers that wait for it."""
        if self._keep is not None and self._not_kept:
            self._keep.add(self._not_kept)
            self._not_kept = {}
        self._kept_at = self._clock()

    def _told(self, error: HeadwaterError, kept: int) -> HeadwaterError:
        """Return an error that also says what was answered before it, and will not be asked again."""
        if self._keep is None or not kept or self._api.answers == "live":
            return error
        more = f" {kept:,} {'answer' if kept == 1 else 'answers'} that came before are kept: run it again, and only"
        return type(error)(f"{error.message}{more} the other rows are asked.", **error.values)

    def _take_turn(self) -> None:
        """Count one call, and wait until the API's rate allows it."""
        with self._guard:
            cost = (self._calls + 1) * self._api.cost_per_call
            if self._api.most_cost is not None and cost > self._api.most_cost:
                raise RefusedError(
                    f"{self._calls:,} calls have cost {self._calls * self._api.cost_per_call:g} {self._api.currency}: "
                    f"one more would pass most_cost = {self._api.most_cost:g}. Raise it in {MANIFEST} if you mean to.",
                    calls=self._calls,
                )
            now = self._clock()
            turn = max(now, self._next_at)
            if turn - now > self._api.timeout_s:
                raise UnavailableError(
                    f"the API may be asked {self._api.per_second:g} times a second, and the next turn is in "
                    f"{turn - now:.1f} s: ask for fewer rows at once.",
                    retry_after_s=turn - now,
                )
            if self._api.per_second:
                self._next_at = turn + 1 / self._api.per_second
            self._calls += 1
        if turn > now:
            self._wait(turn - now)


def read_answers(files: Files) -> dict[str, dict[str, Any]]:
    """Return the recorded answers by the digest of their inputs.

    Raises:
        CorruptError: a line cannot be read.
    """
    found = {}
    for number, line in enumerate(files.get(ANSWERS, b"").splitlines(), 1):
        try:
            entry = msgspec.json.decode(line, type=dict[str, Any])
            found[str(entry["inputs"])] = dict(entry["answer"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"line {number} of {ANSWERS} is no recorded answer: {error}") from error
    return found


def write_answers(answers: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return recorded answers as the bytes of ``answers.jsonl``, in the order of their digests."""
    return b"".join(
        msgspec.json.encode({"inputs": key, "answer": answers[key]}, order="sorted") + b"\n" for key in sorted(answers)
    )


def _read(files: Files) -> Api:
    try:
        api = msgspec.json.decode(files[MANIFEST], type=Api)
    except (KeyError, msgspec.DecodeError) as error:
        raise CorruptError(f"this is no HTTP API: {MANIFEST} is missing or cannot be read: {error}") from error
    if api.format != FORMAT:
        raise CorruptError(f"{MANIFEST} is of the format '{api.format}', not {FORMAT}.")
    if not api.answer or (api.per_second is not None and api.per_second <= 0) or api.cost_per_call < 0:
        raise InvalidInputError(f"{MANIFEST} needs an answer, a per_second above 0 and a cost that is not negative.")
    if not 0 <= api.retries <= MOST_RETRIES or not 0 < api.timeout_s <= LONGEST_WAIT_S:
        raise InvalidInputError(
            f"{MANIFEST} has retries = {api.retries} and timeout_s = {api.timeout_s:g}: retries go from 0 to "
            f"{MOST_RETRIES}, and the timeout is above 0 and at most {LONGEST_WAIT_S:g}."
        )
    _check_headers(api.headers)
    require_no_secrets(api.headers)
    split_url(api.url)
    return api


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > MOST_HEADERS or any(len(value) > LONGEST_HEADER for value in headers.values()):
        raise InvalidInputError(
            f"{MANIFEST} may have {MOST_HEADERS} headers, each of {LONGEST_HEADER:,} characters at most."
        )
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING or not value.isprintable():
            raise InvalidInputError(
                f"the header {name!r} of {MANIFEST} cannot be sent: a name has letters, digits and -, a value no line "
                f"end or other control character, and {', '.join(sorted(_FRAMING))} are set for you."
            )


def _inputs_of(body: Any) -> list[str]:
    if isinstance(body, dict):
        if set(body) == {_INPUT}:
            return [str(body[_INPUT])]
        return [name for each in body.values() for name in _inputs_of(each)]
    return [name for each in body for name in _inputs_of(each)] if isinstance(body, list) else []


def _filled(body: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(body, dict):
        if set(body) == {_INPUT}:
            return row[body[_INPUT]]
        return {key: _filled(each, row) for key, each in body.items()}
    return [_filled(each, row) for each in body] if isinstance(body, list) else body


def _at(told: Any, pointer: str, name: str) -> Any:
    """Return what a JSON pointer leads to."""
    found = told
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError):
            said = msgspec.json.encode(told)[:300].decode("utf-8", "replace")
            raise UnavailableError(f"the API's answer has no '{pointer}' for '{name}': {said}") from None
    return found


def _column(values: list[Any]) -> Array:
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return np.array(values)
    column = np.empty(len(values), object)
    for place, each in enumerate(values):
        column[place] = each
    return column
