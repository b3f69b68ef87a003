"""A process that puts objects and is killed, fails or races, for the tests of faults.

python putting.py FOLDER CACHE kill POINT N        kill this process at the n-th crash point of that name
python putting.py FOLDER CACHE points              print the names of the points it passes
python putting.py FOLDER CACHE race                wait for a line, then put the same objects as others do
python putting.py FOLDER CACHE full BYTES          put with no file allowed to grow beyond so many bytes
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
from pathlib import Path

from headwater.durable import on_crash_point
from headwater.errors import StorageError
from headwater.objects import ObjectStore, open_store, values


def content() -> list[bytes]:
    """Return the objects that each of these processes puts: they fill two packs of the size set below."""
    rng = random.Random(7)
    return [rng.randbytes(rng.randint(100, 20_000)) for _ in range(300)] + [rng.randbytes(6 * 2**20)]


def put_all(store: ObjectStore) -> list[str]:
    with store.batch() as gathered:
        return [gathered.put(each) for each in content()]


def tell(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main() -> None:
    folder, cache, act, *rest = sys.argv[1:]
    values.PACK_BYTES = 5 * 2**20
    store = open_store(Path(folder), cache=Path(cache))
    if act == "points":
        passed: list[str] = []
        on_crash_point(passed.append)
        put_all(store)
        tell(*passed)
    elif act == "kill":
        name, left = rest[0], int(rest[1])

        def die(point: str) -> None:
            nonlocal left
            left -= point == name
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        on_crash_point(die)
        put_all(store)
    elif act == "race":
        tell("ready")
        sys.stdin.readline()
        tell(*put_all(store))
    elif act == "full":
        store.has("ab" * 32)  # the index is there; what does not fit is the pack
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(rest[0]), int(rest[0])))
        try:
            put_all(store)
        except StorageError as error:
            tell(error.message)


if __name__ == "__main__":
    main()
