"""scikit-learn's MLPClassifier and MLPRegressor on fastmlp's kernels: change one import, keep everything else."""

try:
    import sklearn as _scikit_learn
except ImportError as error:
    raise ImportError('fastmlp.sklearn needs scikit-learn: pip install "fastmlp[sklearn]"') from error
if tuple(map(int, _scikit_learn.__version__.split(".")[:2])) < (1, 7):
    raise ImportError(
        f"fastmlp.sklearn needs scikit-learn 1.7 or later, and {_scikit_learn.__version__} is installed: "
        'pip install --upgrade "fastmlp[sklearn]"'
    )

from fastmlp.sklearn._estimators import MLPClassifier, MLPRegressor  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor"]
