"""Places: what fits, who goes first, and that nobody waits for ever."""

from __future__ import annotations

import pytest

from headwater.errors import InvalidInputError
from headwater.flow.places import Line, Needs, Places


class Waiting:
    def __init__(self, name: str, **needs: float) -> None:
        self.name = name
        self.needs = Needs(**needs)  # type: ignore[arg-type]  # a test's shorthand


def names(line: Line[Waiting]) -> list[str]:
    found = []
    while (each := line.take()) is not None:
        found.append(each[0].name)
    return found


def test_what_fits_starts_in_the_order_of_arrival() -> None:
    line: Line[Waiting] = Line(Places(2))
    for name in "abc":
        line.add(Waiting(name))

    assert names(line) == ["a", "b"] and len(line) == 1


def test_memory_and_gpus_are_given_out_once() -> None:
    places = Places(8, memory_bytes=100, gpus=2)
    first = places.take(Needs(gpus=1, memory_bytes=60))
    second = places.take(Needs(gpus=1))

    assert first is not None and second is not None and first.gpus == (0,) and second.gpus == (1,)
    assert places.take(Needs(gpus=1)) is None and places.take(Needs(memory_bytes=50)) is None
    places.give_back(first)
    third = places.take(Needs(gpus=1, memory_bytes=50))
    assert third is not None and third.gpus == (0,)


def test_a_large_job_is_passed_by_small_ones_only_so_often() -> None:
    places = Places(2)
    line: Line[Waiting] = Line(places)
    running = places.take(Needs())
    line.add(Waiting("large", cores=2))
    for number in range(100):
        line.add(Waiting(f"small{number}"))
    started = []
    while (each := line.take()) is not None:
        started.append(each[0].name)
        places.give_back(each[1])
    assert running is not None
    places.give_back(running)
    nexts = line.take()

    assert 0 < len(started) <= 8 and "large" not in started
    assert nexts is not None and nexts[0].name == "large"


def test_what_can_never_fit_is_refused_at_once() -> None:
    line: Line[Waiting] = Line(Places(2, memory_bytes=1 << 30))
    for needs, what in (({"cores": 3}, "3 cores"), ({"memory_bytes": 2 << 30}, "2048 MiB"), ({"gpus": 1}, "1 GPUs")):
        with pytest.raises(InvalidInputError, match=what):
            line.add(Waiting("x", **needs))
