"""scikit-learn: kept as skops, never as a pickle; loading constructs only types that were trusted by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.errors import CorruptError, MissingExtraError, RefusedError

from ..contract import Contract
from .files import Files, only
from .outputs import Array, NamedOutputs

ENGINES = ("scikit-learn", "skops", "numpy", "scipy")
FILE = "model.skops"

_KERNELS = (
    "CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern", "PairwiseKernel",
    "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel",
)  # fmt: skip

SAFE_TYPES = frozenset(
    {
        # Data holders of numpy and of scikit-learn's own parts, and its scores of features. skops lists them because
        # they are compiled, private or functions; constructing one runs no code of the file's.
        "numpy.dtype",
        "numpy.mean",
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.compose._column_transformer._RemainderColsList",
        *(f"sklearn.gaussian_process.kernels.{each}" for each in _KERNELS),
    }
)


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return a fitted estimator as a skops file."""
    return {FILE: _skops().dumps(model)}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> SklearnPredictor:
    """Return the estimator of a skops file, ready to predict.

    Raises:
        RefusedError: the file would construct a type that is neither scikit-learn's own nor in ``trusted``.
        CorruptError: the bytes are not skops (a pickle, for instance).
        MissingExtraError: scikit-learn or skops is not installed.
    """
    return SklearnPredictor(load_estimator(only(files, "sklearn"), trusted), contract)


def load_estimator(data: bytes, trusted: Sequence[str] = ()) -> Any:
    """Return the estimator of skops bytes itself; see ``load``."""
    wanted = untrusted_types(data)
    refused = sorted(set(wanted) - set(trusted))
    if refused:
        raise RefusedError(
            f"this model would construct {', '.join(refused)}, which nobody trusted when it was registered. "
            "Look at these types, then register it again with trusted=[...] naming them.",
            types=refused,
        )
    try:
        return _skops().loads(data, trusted=[*wanted, *SAFE_TYPES])
    except Exception as error:  # whatever a damaged file makes constructors raise
        raise CorruptError(f"this skops file cannot be read: {type(error).__name__}: {error}") from error


def untrusted_types(data: bytes) -> list[str]:
    """Return the types in skops bytes that are neither skops' defaults nor in ``SAFE_TYPES``: a person must name them.

    Raises:
        CorruptError: the bytes are not skops.
    """
    try:
        found = _skops().get_untrusted_types(data=data)
    except MissingExtraError:
        raise
    except Exception as error:  # a zip, JSON or key error, by what the bytes happen to be
        raise CorruptError(
            f"these bytes are not a skops file: {error}. A pickle is never loaded as a model."
        ) from error
    return sorted(set(found) - SAFE_TYPES)


def describe(files: Files) -> dict[str, Any]:
    """Return which types beyond the defaults a skops file would construct, without constructing any."""
    data = only(files, "sklearn")
    return {"untrusted": untrusted_types(data), "bytes": len(data)}


class SklearnPredictor:
    """An estimator that answers with the contract's outputs, on one thread."""

    def __init__(self, estimator: Any, contract: Contract) -> None:
        from threadpoolctl import ThreadpoolController

        # Looking for thread pools costs milliseconds, so it is done once and not for each answer.
        self._threads = ThreadpoolController()
        self._estimator = estimator
        self._contract = contract
        self._named = NamedOutputs(contract)

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for typed input columns of shape (rows,)."""
        with self._threads.limit(limits=1):
            return self._named(self._raw(estimator_input(self._estimator, self._contract, columns)))

    def _raw(self, given: Any) -> dict[str, Array]:
        if not hasattr(self._estimator, "classes_"):
            return {"value": self._estimator.predict(given)}
        methods = {"label": "predict", "probabilities": "predict_proba"}
        wanted = [name for name, method in methods.items() if hasattr(self._estimator, method)]
        estimator, given = _last_of(self._estimator, given)
        return {name: getattr(estimator, methods[name])(given) for name in wanted if name in self._named.sources}


def _last_of(estimator: Any, given: Any) -> tuple[Any, Any]:
    """Return a pipeline's last estimator and what the steps before it make of the input, once for all outputs."""
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline or len(estimator.steps) < 2:
        return estimator, given
    return estimator.steps[-1][1], estimator[:-1].transform(given)


def estimator_input(estimator: Any, contract: Contract, columns: Mapping[str, Array]) -> Any:
    """Return columns as what the estimator was fitted on: a pandas frame where it knows names, else a matrix."""
    fitted = getattr(estimator, "feature_names_in_", None)
    names = [field.name for field in contract.inputs] if fitted is None else [str(name) for name in fitted]
    if fitted is None:
        import numpy as np

        return np.column_stack([columns[name] for name in names])
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("pandas", "pandas", "a scikit-learn model fitted on named columns") from error
    return pandas.DataFrame({name: columns[name] for name in names}, copy=False)


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtraError("skops", "sklearn", "a scikit-learn model") from error
    return skops.io
