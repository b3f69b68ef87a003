"""What computes the answers: engine versions, threads, provider and CPU features, kept so that replay can compare."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata

import msgspec

from headwater.canonical import digest_of

from .flavours import get_flavour

_FEATURES = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "sve", "bf16", "i8mm"),
)
"""The CPU features by which kernels are chosen; two machines that agree on these give equal bytes."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what a model ran. ``engines`` maps distributions to versions."""

    flavour: str
    engines: dict[str, str]
    threads: int
    provider: str
    machine: str
    cpu: str
    features: tuple[str, ...]
    python: str

    @property
    def digest(self) -> str:
        """The digest by which prediction events name this record."""
        return digest_of(msgspec.to_builtins(self))


@lru_cache(maxsize=16)
def execution_of(flavour: str) -> Execution:
    """Return the execution record of this process for a flavour, as ``load`` sets engines up: one thread, CPU."""
    engines = _installed({*get_flavour(flavour).ENGINES, "numpy"})
    cpu, features = cpu_features()
    return Execution(
        flavour=flavour,
        engines=engines,
        threads=1,
        provider="CPUExecutionProvider" if flavour == "onnx" else "python",
        machine=platform.machine(),
        cpu=cpu,
        features=features,
        python=platform.python_version(),
    )


def _installed(names: set[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # one of several that bring the same module
            continue
    return found


@lru_cache(maxsize=1)
def cpu_features() -> tuple[str, tuple[str, ...]]:
    """Return the CPU's vendor, family and model, and those of its features that numerical kernels look for.

    Source: /proc/cpuinfo; elsewhere than on Linux the name that Python knows, and no features.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read().split("\n\n", 1)[0]
    except OSError:
        return platform.processor(), ()
    lines = (line.partition(":") for line in text.splitlines())
    found = {key.strip(): value.strip() for key, _, value in lines}
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
    flags = set(found.get("flags", found.get("Features", "")).split())
    return " ".join(found[name] for name in names if name in found), tuple(f for f in _FEATURES if f in flags)
