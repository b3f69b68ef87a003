"""What code knows of the run it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from headwater.flow.current import environment_now


class Fading(dict[str, str]):
    """An environment of which another thread takes a variable while it is looked through."""

    def __iter__(self) -> Iterator[str]:
        return iter([*super().keys(), "GONE"])


def test_the_environment_is_copied_while_another_thread_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", Fading(KEPT="1"))

    with pytest.raises(KeyError, match="GONE"):
        {name: os.environ[name] for name in os.environ}  # as dict(os.environ) does
    assert environment_now() == {"KEPT": "1"}
