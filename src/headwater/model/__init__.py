"""Models: versions with their contract, files and lineage; loading them; reading what channels point to.

A version's files are objects, each loaded by a flavour (``flavours/``: one small file each). Channel pointers are
read here and written only by ``headwater.release``. Evidence about versions is made by ``headwater.evaluate``.
"""

from .adding import add_model
from .answers import load_to_measure
from .contract import Contract, ContractError, Field, Problem
from .contract_changes import Change, contract_changes
from .contract_files import contract_as_toml, edited, read_contract
from .editing import infer_data_contract, replace_contract
from .execution import Execution, execution_of
from .inference import infer_contract
from .loading import Loaded, load, load_version
from .reference import profile_reference
from .registry import (
    channels,
    describe_model,
    find_model_version,
    get_model,
    get_model_version,
    list_model_versions,
    list_models,
    register,
)
from .rendering import example_row, json_schema, open_inference_metadata, openapi_components
from .saving import SavedModel, save_estimator
from .trusting import trust, untrusted
from .values import CardText, Model, ModelFile, ModelVersion

__all__ = [
    "CardText",
    "Change",
    "Contract",
    "ContractError",
    "Execution",
    "Field",
    "Loaded",
    "Model",
    "ModelFile",
    "ModelVersion",
    "Problem",
    "SavedModel",
    "add_model",
    "channels",
    "contract_as_toml",
    "contract_changes",
    "describe_model",
    "edited",
    "example_row",
    "execution_of",
    "find_model_version",
    "get_model",
    "get_model_version",
    "infer_contract",
    "infer_data_contract",
    "json_schema",
    "list_model_versions",
    "list_models",
    "load",
    "load_to_measure",
    "load_version",
    "open_inference_metadata",
    "openapi_components",
    "profile_reference",
    "read_contract",
    "register",
    "replace_contract",
    "save_estimator",
    "trust",
    "untrusted",
]
