"""scikit-learn's own suites: its checks of any estimator, and its tests of its MLP with fastmlp's in their place."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.neural_network
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmlp import AdamW, losses, schedules
from fastmlp.sklearn import MLPClassifier, MLPRegressor

# What scikit-learn writes for its own MLP into the parameters of its checks: fewer epochs.
CONFIGURATIONS = [
    MLPClassifier(max_iter=100),
    MLPRegressor(max_iter=100),
    MLPClassifier(solver="lbfgs", hidden_layer_sizes=(10,), max_iter=100, activation="tanh", class_weight="balanced"),
    MLPRegressor(solver="lbfgs", hidden_layer_sizes=(10, 5), max_iter=100),
    MLPClassifier(solver="sgd", learning_rate="adaptive", max_iter=100, activation="logistic"),
    MLPRegressor(solver="sgd", learning_rate_init=0.05, random_state=42),
    MLPClassifier(
        solver=AdamW(),
        activation=["gelu"],
        learning_rate=schedules.Cosine(0.01),
        label_smoothing=0.05,
        clip_norm=1.0,
        max_iter=100,
        n_jobs=1,
    ),
    MLPRegressor(loss="huber", solver="rmsprop", activation="silu", max_norm=3.0, max_iter=100),
    MLPRegressor(loss=losses.huber(0.5), solver="nadam", max_iter=100),
    MLPClassifier(loss="hinge", max_iter=100),
]
IGNORED = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # the checks stop early on purpose
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),  # what they have no library for
]


def marked(test):
    """The test without the warnings that the checks themselves cause."""
    for mark in IGNORED:
        test = mark(test)
    return test


@marked
@parametrize_with_checks(CONFIGURATIONS)
def test_any_estimator(estimator, check):
    check(estimator)


@marked
@parametrize_with_checks([MLPClassifier(early_stopping=True), MLPRegressor(early_stopping=True)])
@pytest.mark.slow
def test_with_early_stopping_what_scikit_learns_own_passes(estimator, check):
    own = getattr(sklearn.neural_network, type(estimator).__name__)(early_stopping=True)
    try:
        check(own)
    except Exception as error:  # of few rows, or of a fit in parts, some checks have no use for early stopping
        pytest.skip(f"scikit-learn's own fails it: {type(error).__name__}")
    check(estimator)


# Test of scikit-learn's -> the attribute that it reaches into, which is no part of what users may rely on.
PRIVATE = {
    "test_gradient": "_loss_grad_lbfgs",
    "test_learning_rate_warmstart": "_optimizer",
    "test_adaptive_learning_rate": "_optimizer",
}


@pytest.mark.slow
def test_the_tests_of_scikit_learns_own():
    folder = Path(__file__).parent
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "scikit_learn_replaced",
            "-p",
            "no:cacheprovider",
            "-rfE",
            "--tb=line",
            "--pyargs",
            "sklearn.neural_network.tests.test_mlp",
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])},
        cwd=folder.parent.anchor,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = set(re.findall(r"^(?:FAILED|ERROR) .*::(\w+)", done.stdout, re.MULTILINE))
    assert failed == PRIVATE.keys(), done.stdout
    for test, attribute in PRIVATE.items():
        assert f"no attribute '{attribute}'" in done.stdout, test
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed >= 50, done.stdout
