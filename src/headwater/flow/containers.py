"""The command line that runs a program in a container: docker or podman, whichever is on PATH."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headwater.errors import UserCodeError

from .identities import ENGINES, find_engine

_WORK = "/work"


def in_container(
    image: str, words: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> tuple[list[str], Callable[[], None]]:
    """Return the words that run a program in a container, with its folder, as this user, and what ends it.

    The image has to be on the machine: pulling one is a decision, not a side effect of a run. There is no network.

    Raises:
        UserCodeError: no engine is on PATH.
    """
    engine = find_engine()
    if engine is None:
        raise UserCodeError(
            f"the image '{image}' needs a container engine, and neither {' nor '.join(ENGINES)} is on PATH. Install "
            "one, or run the program itself: leave image= out.",
            "",
        )
    name = f"headwater-{secrets.token_hex(8)}"
    settings = [word for key, value in sorted(environ.items()) for word in ("--env", f"{key}={value}")]
    made = [
        engine, "run", "--rm", "--init", "--pull=never", "--network=none", "--name", name,
        "--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{folder}:{_WORK}", "--workdir", _WORK,
        *settings, image, *words,
    ]  # fmt: skip

    def stop() -> None:
        subprocess.run([engine, "stop", "--time", "5", name], capture_output=True, timeout=30, check=False)

    return made, stop
