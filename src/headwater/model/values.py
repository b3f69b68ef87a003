"""What the registry hands out: models, their versions, the files of a version, and the author's words."""

from __future__ import annotations

from typing import Any

import msgspec

from .contract import Contract


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model version: its name, its bytes, and the flavour that can load it."""

    name: str
    digest: str
    size: int
    flavour: str = ""


class CardText(msgspec.Struct, frozen=True, kw_only=True):
    """What only the author can say of a version; merged into its card."""

    intended_use: str = ""
    limits: str = ""
    owner: str = ""
    licence: str = ""
    notes: str = ""


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a model. ``number`` is local to the model; what travels is the id.

    ``flavour`` names the file that is served. ``parent`` is the version that ``description`` tells it from.
    ``trained_on`` holds ids of dataset versions. ``reference`` is the digest of the training profile that drift
    is measured against (``headwater.model.reference``). ``trusted`` lists the types that loading may construct.
    """

    id: str
    model: str
    number: int
    flavour: str
    files: tuple[ModelFile, ...]
    contract: Contract
    description: str
    author: str
    claimed: bool
    created_at: int
    parent: str | None = None
    run: str | None = None
    trained_on: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    reference: str | None = None
    trusted: tuple[str, ...] = ()
    card: CardText = CardText()

    @property
    def ref(self) -> str:
        """The text that names this version in the lineage."""
        return f"modelversion:{self.id}"

    @property
    def label(self) -> str:
        """The short name people use: ``delay@v3``."""
        return f"{self.model}@v{self.number}"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which versions are kept; ``channels`` maps each channel to the id of its version."""

    name: str
    description: str
    created_at: int
    created_by: str
    versions: int
    channels: dict[str, str] = {}
