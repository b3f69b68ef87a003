"""Steps on a Dask cluster: one on this machine, or one whose scheduler runs elsewhere.

What goes through Dask is small: which step of which snapshot, on which objects. Code, arguments and results move
through the project's object store, which every worker opens by itself. On the worker the step runs as it does here:
in a child of its own that recomputes the code's key, with its timeout and its limit of memory. Dask runs a task again
whose worker is lost.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, MissingExtraError, UnavailableError

from .dask_cluster import LocalProcesses
from .executors import Futures, Job, Setup
from .places import Places

if TYPE_CHECKING:
    from .engine import Engine

_REACH_S = 5.0
_START_S = 60.0
# A worker that dies with a task is most often not the task's fault; Dask runs it so many times again.
_LOST_AGAIN = 3


class DaskExecutor(Futures):
    """A Dask client as an executor."""

    def __init__(self, engine: Engine, setup: Setup, workers: int, address: str, *, secured: bool) -> None:
        self._engine = engine
        self._client, self._cluster = connect(address, workers, secured=secured)
        try:
            self._place = place_of(engine)
            self._setup = self._shared(setup)
            self._check_workers()
            threads = sum(each["nthreads"] for each in self._client.scheduler_info(n_workers=-1)["workers"].values())
        except BaseException:
            self._leave()
            raise
        super().__init__(self._send, Places(threads, 0, gpus=1_000_000))

    def _shared(self, setup: Setup) -> dict[str, Any]:
        """Put the snapshot into the store; return what a worker needs to run this run's steps."""
        with self._engine.project.objects.batch() as batch:
            code = batch.put(Path(setup.snapshot).read_bytes())
        self._publish()
        return {**msgspec.to_builtins(setup), "snapshot": code, "work": "", "place": self._place}

    def _publish(self) -> None:
        """Let other machines see what was put: the ledger learns of new packs with its next commit."""
        if self._engine.project.objects.pending():
            with self._engine.project.ledger.write():
                return

    def _check_workers(self) -> None:
        from .dask_worker import look

        try:
            self._client.wait_for_workers(1, timeout=_REACH_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"the Dask scheduler at {self._client.scheduler.address} has no workers. Start some, with Headwater "
                "and what the steps import installed: dask worker SCHEDULER."
            ) from error
        for worker, said in self._client.run(look, self._place, on_error="return").items():
            if isinstance(said, BaseException):
                said = f"{type(said).__name__}: {said}"
            if said:
                raise InvalidInputError(
                    f"the Dask worker {worker} cannot open this project's stores: {said}. Steps on Dask read and "
                    "write there: put the project's folder on a disk that the workers share, at the same path, or "
                    "keep ledger and objects in Postgres and S3 ([stores] in headwater.toml).",
                    worker=worker,
                )

    def _send(self, job: Job) -> Future[dict[str, Any]]:
        from .dask_worker import run_job

        request = dict(job.request)
        contents, paths = request.pop("contents"), request.pop("paths")
        objects = self._engine.project.objects
        lacking = set(objects.missing([*contents, *paths])) if contents or paths else set()
        if lacking:
            with objects.batch() as batch:
                for digest in lacking & contents.keys():
                    batch.put(contents[digest])
                for digest in lacking & paths.keys():
                    batch.put_file(Path(paths[digest]))
            self._publish()
        request["small"] = list(contents)
        # The file of an object in the cache has the name that the object is stored by; that of an argument has an end.
        names = {each: Path(path).name for each, path in paths.items()}
        request["large"] = {each: each if each in lacking or "." in name else name for each, name in names.items()}
        sent = {
            "id": job.id, "step": job.step, "code": job.code, "imports": job.imports, "timeout_s": job.timeout_s,
            "needs": msgspec.to_builtins(job.needs), "request": request,
        }  # fmt: skip
        future: Future[dict[str, Any]] = Future()
        remote = self._client.submit(
            run_job, self._setup, msgspec.msgpack.encode(sent), key=f"headwater-{job.id}-{os.urandom(4).hex()}",
            pure=False, retries=0,
        )  # fmt: skip
        future.add_done_callback(lambda done: remote.cancel() if done.cancelled() else None)
        remote.add_done_callback(lambda done: _hand_on(done, future))
        job.started()
        return future

    def too_long(self, job: Job) -> None:
        """Leave the timeout to the worker, which counts from the step's own start and ends its processes."""

    def abandon(self, job: Job) -> None:
        from .dask_worker import end_job

        try:
            self._client.run(end_job, job.id, wait=False)
        except (OSError, RuntimeError):  # the cluster is gone, and the job with it
            return

    def lost(self, job: Job, error: BaseException) -> dict[str, Any]:
        if isinstance(error, HeadwaterError):
            return {"error": error.message, "kinds": [type(error).__name__], "traceback": "", "refused": True}
        return {"killed": f"Dask gave it up ({type(error).__name__}: {error})", "kinds": [type(error).__name__]}

    def close(self) -> None:
        super().close()
        self._leave()

    def _leave(self) -> None:
        from .dask_worker import forget

        try:
            if hasattr(self, "_setup"):
                self._client.run(forget, self._setup["digest"])
        except (OSError, RuntimeError, TimeoutError):
            pass
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def connect(address: str, workers: int, *, secured: bool) -> tuple[Any, Any]:
    """Return a client of the scheduler at ``address`` (and no cluster), or of a new cluster on this machine.

    Raises:
        MissingExtraError: Dask is not installed.
        UnavailableError: the scheduler does not answer.
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("distributed", "dask", "running steps on Dask") from error
    # A task that takes its worker with it is run again so often before it is given up.
    dask.config.set({"distributed.scheduler.allowed-failures": _LOST_AGAIN})
    if not address:
        cluster = LocalProcesses(workers)
        try:
            # Dask has no types.
            found = Client(scheduler_file=cluster.scheduler_file, timeout=_START_S, set_as_default=False)  # type: ignore[no-untyped-call]
            found.wait_for_workers(workers, timeout=_START_S)
        except (OSError, TimeoutError, ValueError) as error:
            said = cluster.log()
            cluster.close()
            raise UnavailableError(
                f"a Dask cluster did not start on this machine within {_START_S:g} s. It said: {said}"
            ) from error
        return found, cluster
    scheme = "tls" if secured else "tcp"
    try:
        found = Client(f"{scheme}://{address}", timeout=_REACH_S, set_as_default=False)  # type: ignore[no-untyped-call]
        return found, None
    except (OSError, TimeoutError, ValueError) as error:
        raise UnavailableError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}). Start it with 'dask scheduler', or name "
            "another with --on dask://HOST:PORT.",
            address=address,
        ) from error


def place_of(engine: Engine) -> dict[str, Any]:
    """Return how a worker opens the project: its folder, and its settings where both stores are elsewhere.

    Raises:
        InvalidInputError: the settings hold a secret in so many words: it would travel unencrypted.
    """
    project = engine.project
    shared = all("://" in project.settings.text("stores", name) for name in ("ledger", "objects"))
    for path, value in _texts(project.settings.table("stores"), "stores") if shared else ():
        if _is_secret(path, value):
            raise InvalidInputError(
                f"[{path}] in headwater.toml holds a secret in so many words. Workers on other machines are sent "
                'the settings: write it as "env:NAME", and set NAME where the workers run.'
            )
    settings = project.settings.path.read_text("utf-8") if shared and project.settings.path else ""
    return {
        "root": str(project.root), "id": project.id, "actor": project.actor.name, "settings": settings,
        "version": version("headwater"),
    }  # fmt: skip


def _texts(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in _texts(inner, f"{path}.{name}")]
    return [(path, value)] if isinstance(value, str) else []


def _is_secret(path: str, value: str) -> bool:
    if value.startswith("env:"):
        return False
    name = path.rpartition(".")[2].lower()
    if any(word in name for word in ("secret", "password", "token", "key")):
        return True
    _, _, rest = value.partition("://")
    return ":" in rest.partition("@")[0] if "@" in rest else False


def _hand_on(done: Any, future: Future[dict[str, Any]]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(msgspec.msgpack.decode(done.result()))
    except BaseException as error:  # noqa: BLE001  # whatever ended it there is the answer here
        future.set_exception(error)
