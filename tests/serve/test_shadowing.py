from __future__ import annotations

import logging
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from headwater import canonical
from headwater.errors import StorageError
from headwater.model import Contract, Field
from headwater.serve.failures import NOT_KEPT
from headwater.serve.keeping import Keeping
from headwater.serve.settings import ModelSettings
from headwater.serve.shadowing import Shadower
from headwater.serve.values import Answer

CONTRACT = Contract(inputs=(Field(name="hour", type="float"),), outputs=(Field(name="y", type="float"),))
ANSWER = Answer(
    id="0" * 26,
    model="delay",
    version="v1",
    model_version="one",
    channel="production",
    occurred_at=1,
    predictions=[{"id": "0" * 26, "y": 1.0}],
)


class Events:
    """Keeps what is appended; a full disk fails it later, as the committer does."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self._failing = failing

    def append_soon(self, stream: str, rows: list[dict[str, Any]]) -> Future[None]:
        done: Future[None] = Future()
        if self._failing is not None:
            done.set_exception(self._failing)
        else:
            self.rows += rows
            done.set_result(None)
        return done


def shadowed(events: Events, keeping: Keeping | None, *, fails: bool = False) -> None:
    """Let a shadow compute one row, as after an answer."""

    def predict(rows: list[dict[str, Any]], **_: Any) -> list[dict[str, Any]]:
        if fails:
            raise ValueError(f"hour {rows[0]['hour']:g} is out of range")
        return [{"y": rows[0]["hour"]} for _ in rows]

    loaded = SimpleNamespace(contract=CONTRACT, predict=predict)
    shadow: Any = SimpleNamespace(model="delay", channel="production", version=SimpleNamespace(id="two"), loaded=loaded)
    shadower = Shadower(events)  # type: ignore[arg-type]  # the one method that it calls
    shadower.copy(shadow, [{"hour": 77123.0}], ANSWER, keeping)
    shadower.close()


def keeping(**settings: Any) -> Keeping:
    return Keeping(ModelSettings(**settings), CONTRACT, bytes(32))


def test_what_a_shadow_said_is_kept_beside_the_answer() -> None:
    events = Events()

    shadowed(events, keeping())

    [kept] = events.rows
    assert (canonical.decode(kept["outputs"]), kept["agrees"], kept["error"]) == ({"y": 77123.0}, False, "")


def test_of_a_prediction_that_was_sampled_out_what_a_shadow_said_is_not_kept() -> None:
    for sample, there in ((1.0, True), (0.0, False)):
        events, failed = Events(), Events()
        policy = keeping(events="sampled", sample=sample)
        shadowed(events, policy)
        shadowed(failed, policy, fails=True)

        assert (events.rows[0]["outputs"] is not None) == there
        assert events.rows[0]["agrees"] is False  # whether the two agree is known all the same
        assert ("77123" in failed.rows[0]["error"]) == there


def test_an_error_of_a_shadow_that_may_quote_a_masked_value_is_kept_by_its_class() -> None:
    for mask, said in (((), "ValueError: hour 77123 is out of range"), (("hour",), f"ValueError: {NOT_KEPT}")):
        events = Events()
        shadowed(events, keeping(mask=mask), fails=True)

        assert events.rows[0]["error"] == said


def test_that_what_a_shadow_said_could_not_be_kept_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        shadowed(Events(StorageError("the disk is full")), keeping())

    assert "1 rows of 'serve_shadows' were not kept: the disk is full" in caplog.text
