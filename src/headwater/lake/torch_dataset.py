"""A table as a torch IterableDataset: each worker and each rank takes its own part of the rows."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterator
from typing import Any

from .table import Table, need


def torch_dataset(table: Table, batch_rows: int, seed: int | None) -> Any:
    """Return the dataset that ``Table.to_torch`` describes.

    Raises:
        MissingExtraError: torch is not installed.
    """
    torch = need("torch", "torch", "a torch dataset")

    class Rows(torch.utils.data.IterableDataset):  # type: ignore[misc,name-defined,unused-ignore]  # torch is optional
        """The batches of one table, in the order of ``Table.iterate``."""

        def __init__(self) -> None:
            super().__init__()
            self._feed = Feed(table, batch_rows, seed)

        def set_epoch(self, epoch: int) -> None:
            """Choose the order of the next pass."""
            self._feed.epoch = epoch

        def __iter__(self) -> Iterator[dict[str, Any]]:
            info = torch.utils.data.get_worker_info()
            worker = (info.id, info.num_workers) if info is not None else (0, 1)
            shard = (0, 1)
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                shard = (torch.distributed.get_rank(), torch.distributed.get_world_size())
            for batch in self._feed.batches(shard, worker):
                yield {name: _tensor(torch, values) for name, values in batch.items()}

        def __reduce__(self) -> tuple[Any, ...]:
            return torch_dataset, (self._feed.table, batch_rows, seed), {"_feed": self._feed}

    return Rows()


class Feed:
    """A table to iterate here or in a worker process, which opens the project and the table for itself."""

    def __init__(self, table: Table, batch_rows: int, seed: int | None) -> None:
        self.table = table
        self.epoch = 0
        self._batch_rows = batch_rows
        self._seed = seed
        self._process = os.getpid()
        # Made now: a forked worker must not touch the connection and the stores that it inherited.
        self._recipe = pickle.dumps(table)

    def batches(self, shard: tuple[int, int], worker: tuple[int, int]) -> Iterator[dict[str, Any]]:
        """Yield the batches of one worker of one shard."""
        if os.getpid() != self._process:
            self.table, self._process = pickle.loads(self._recipe), os.getpid()
        return iter(self.table.iterate(self._batch_rows, seed=self._seed, epoch=self.epoch, shard=shard, worker=worker))

    def __getstate__(self) -> dict[str, Any]:
        state = copy.copy(self.__dict__)
        state["_process"] = os.getpid()  # the table comes along pickled, and is opened there
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._process = os.getpid()


def _tensor(torch: Any, values: Any) -> Any:
    """Return a column as a tensor; as a list where torch has no type for it, None for nulls."""
    import numpy as np

    if isinstance(values, np.ma.MaskedArray):
        if values.mask.any() and values.dtype.kind == "f":
            return torch.from_numpy(values.filled(np.nan))
        if values.mask.any() or values.dtype.kind not in "biuf":
            return values.tolist()
        values = values.data
    if values.dtype.kind not in "biuf":
        return values.tolist()
    return torch.from_numpy(np.ascontiguousarray(values))
