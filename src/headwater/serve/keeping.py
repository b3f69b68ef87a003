"""What is kept of a prediction: all of it, or what the model's policy and the contract's personal fields leave."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from headwater import canonical
from headwater.durable import write_new
from headwater.errors import InvalidInputError
from headwater.ids import ALPHABET
from headwater.model import list_model_versions

if TYPE_CHECKING:
    from headwater.model import Contract, ModelVersion
    from headwater.project import LocalProject, Project

    from .settings import ModelSettings

ALL = "*"
"""What ``left_out`` says of a prediction whose inputs and outputs were sampled out."""

_KEY_FILE = "serve.key"
_VERSIONS_LOOKED_AT = 1000
_log = logging.getLogger("headwater.serve")


class Keeping:
    """What is kept of the predictions of one model version, by its settings and contract.

    Where inputs are not kept whole, their commitment is: the BLAKE3 digest of their canonical bytes under the project's
    own key, so that the project can tell whether given inputs were those, and who reads the events cannot guess them.
    """

    def __init__(self, settings: ModelSettings, contract: Contract, key: bytes) -> None:
        self.masked = masked_fields(settings, contract)
        self.sample = settings.sample if settings.events == "sampled" else 1.0
        self.whole = not self.masked and self.sample >= 1.0
        self._key = key

    def row(self, prediction: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of the event that policy decides over.

        Raises:
            InvalidInputError: the inputs hold what no event can.
        """
        whole = _encoded(inputs)
        if self.whole:
            return {"inputs": whole, "outputs": canonical.encode(outputs)}
        commitment = commit(self._key, whole)
        if not in_sample(prediction, self.sample):
            return {"inputs": None, "outputs": None, "left_out": ALL, "commitment": commitment}
        if not self.masked:
            return {"inputs": whole, "outputs": canonical.encode(outputs)}
        left = {name: None if name in self.masked else value for name, value in inputs.items()}
        return {
            "inputs": canonical.encode(left),
            "outputs": canonical.encode(outputs),
            "left_out": ",".join(self.masked),
            "commitment": commitment,
        }


def masked_fields(settings: ModelSettings, contract: Contract) -> tuple[str, ...]:
    """Return the inputs whose values are not kept: personal ones, and those that the model's settings mask."""
    return tuple(field.name for field in contract.inputs if field.personal or field.name in settings.mask)


def check_mask(project: Project, settings: ModelSettings, version: ModelVersion) -> None:
    """Refuse a mask that names what no version of the model has an input for: a misspelt name would mask nothing.

    A name that only other versions have is logged: two versions with different inputs may answer at once.

    Raises:
        InvalidInputError: it names such fields.
    """
    inputs = [field.name for field in version.contract.inputs]
    absent = [name for name in settings.mask if name not in inputs]
    if not absent:
        return
    others = list_model_versions(project, version.model, limit=_VERSIONS_LOOKED_AT)
    known = {field.name for other in others for field in other.contract.inputs}
    unknown = [name for name in absent if name not in known]
    if unknown:
        raise InvalidInputError(
            f"[serve.models.{version.model}] in headwater.toml masks {', '.join(unknown)}, which {version.label} has "
            f"no input for, so it is not served. Its inputs are: {', '.join(inputs)}. Correct 'mask'.",
            fields=unknown,
        )
    _log.warning("%s has no input %s, which its model's settings mask", version.label, ", ".join(absent))


def in_sample(prediction: str, share: float) -> bool:
    """Tell whether a prediction is kept when a share is: decided by the random end of its id, so again the same."""
    number = 0
    for letter in prediction[-6:]:
        number = number << 5 | ALPHABET.index(letter)
    return number < share * (1 << 30)


def commit(key: bytes, inputs: bytes) -> str:
    """Return the commitment to inputs, in canonical form, under a key."""
    from blake3 import blake3

    return blake3(inputs, key=key).hexdigest()


def _encoded(inputs: dict[str, Any]) -> bytes:
    try:
        return canonical.encode(inputs)
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidInputError(
            f"a row cannot be kept, so it is not answered: {error}. Send whole numbers of at most 64 bits, and text "
            "that is Unicode."
        ) from error


def commitment_key(project: LocalProject) -> bytes:
    """Return the 32 bytes under which this project commits to inputs; made when first asked for."""
    path = project.state / _KEY_FILE
    if not path.exists():
        write_new(path, os.urandom(32), "serve.key")
        path.chmod(0o600)
    return path.read_bytes()
