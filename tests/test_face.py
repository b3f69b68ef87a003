"""What ``import headwater as hw`` offers, in whichever order rooms are imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAMES = "from headwater.sdk import NAMES; assert all(callable(getattr(hw, name)) for name in NAMES), NAMES"


@pytest.mark.parametrize(
    "first", ["", "headwater.flow", "headwater.track", "headwater.check", "headwater.model", "headwater.api.operations"]
)
def test_every_name_can_be_called_whatever_was_imported_first(first: str) -> None:
    program = f"import {first or 'sys'}\nimport headwater as hw\n{NAMES}"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ["model", "flow", "check"])
def test_a_room_can_be_imported_by_its_name_after_that_name_was_used(room: str) -> None:
    program = f"import headwater as hw\nhw.{room}\nimport headwater.{room} as it\nassert it.__path__ and callable(it)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    import headwater

    with pytest.raises(AttributeError, match="nothing_such"):
        headwater.nothing_such  # noqa: B018
