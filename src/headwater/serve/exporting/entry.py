"""The command line of an exported package: ``python -m PACKAGE predict|check|contract|serve|health``.

Exit codes: 0 done, 1 the answer is no (a refused row, a check that failed, not healthy), 2 wrong use, 3 it broke.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError
from headwater.model.contract import ContractError
from headwater.model.rendering import json_schema

from .packaged import Package, port_given


def main(package: Package, target: str, arguments: list[str]) -> int:
    """Run one command and return the exit code; ``target`` is what an ASGI server loads."""
    try:
        given = _parser(target.partition(".")[0]).parse_args(arguments)
        return int(_COMMANDS[given.command](package, target, given))
    except ContractError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    except HeadwaterError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # an engine may raise anything; the exit code says that it broke
        sys.stderr.write(f"error: {type(error).__name__}: {error}\n")
        return 3


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description="A model version that answers by itself.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="answer the rows of a JSON file, a list of objects")
    predict.add_argument("file", nargs="?", default="-", help="default: standard input")
    commands.add_parser("check", help="compute the examples again and compare; exit code 1 when one differs")
    commands.add_parser("contract", help="print the JSON Schema of one row")
    serve = commands.add_parser("serve", help="answer over HTTP")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=None, help="default: $PORT, else 8080")
    serve.add_argument("--workers", type=_workers, default=1)
    health = commands.add_parser("health", help="ask a server on this machine whether it is ready")
    health.add_argument("--port", type=_port, default=None, help="default: $PORT, else 8080")
    return parser


def _port(text: str) -> int:
    return _number(text, "a port", 65_535)


def _workers(text: str) -> int:
    return _number(text, "a number of processes", 1_000)


def _number(text: str, what: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= most:
        raise argparse.ArgumentTypeError(f"'{text}' is not {what}: give a number from 1 to {most:,}")
    return int(text)


def _predict(package: Package, target: str, given: argparse.Namespace) -> int:
    try:
        data = sys.stdin.buffer.read() if given.file == "-" else Path(given.file).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"'{given.file}' cannot be read: {error.strerror or error}.") from error
    try:
        rows = msgspec.json.decode(data, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"'{given.file}' is not a JSON list of objects: {error}.") from error
    sys.stdout.write(msgspec.json.encode(package.answer(rows)).decode() + "\n")
    return 0


def _check(package: Package, target: str, given: argparse.Namespace) -> int:
    found = package.check()
    engines = ", ".join(f"{name} {version}" for name, version in package.open().execution.engines.items())
    said = f"{found.equal} of {found.examples} answers equal"
    said += f", {found.within} equal within 1e-5" if found.within else ""
    said += f", {found.different} different, the first: {found.first_difference}" if found.different else ""
    sys.stdout.write(f"{package.about.version.label}: {said} ({engines})\n")
    return 0 if found.passed else 1


def _contract(package: Package, target: str, given: argparse.Namespace) -> int:
    schema = json_schema(package.contract.inputs, title=f"One input of {package.about.version.model}")
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n")
    return 0


def _serve(package: Package, target: str, given: argparse.Namespace) -> int:
    try:
        from granian import Granian
        from granian.constants import Interfaces
        from granian.log import LogLevels
    except ImportError:
        name = target.partition(".")[0].replace("_", "-")
        sys.stderr.write(f"error: serving needs granian. Run: pip install '{name}[server]'\n")
        return 2
    package.open()  # what is wrong with the model is said here, once, and not by each worker
    Granian(
        target,
        address=given.host,
        port=port_given() if given.port is None else given.port,
        interface=Interfaces.ASGI,
        workers=given.workers,
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
    ).serve()
    return 0


def _health(package: Package, target: str, given: argparse.Namespace) -> int:
    import urllib.error
    import urllib.request

    port = port_given() if given.port is None else given.port
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3) as answer:
            sys.stdout.write(answer.read().decode() + "\n")
            return 0
    except (OSError, urllib.error.URLError) as error:
        sys.stderr.write(f"not ready: {error}\n")
        return 1


_COMMANDS = {"predict": _predict, "check": _check, "contract": _contract, "serve": _serve, "health": _health}
