"""The scikit-learn estimators: their conventions, and that they reach the exact solution."""

import pickle

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from halpbench import HALPClassifier, HALPRegressor

# Some checks compare the predictions of two fits to 1e-7.
CHECKED = [HALPClassifier(tol=1e-11), HALPRegressor(tol=1e-11)]
LEAST_CHECKS = 50


@parametrize_with_checks(CHECKED)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", CHECKED, ids=lambda e: type(e).__name__)
def test_all_checks_are_there_and_none_is_skipped(estimator):
    checks = list(estimator_checks_generator(estimator, mark="skip"))
    assert len(checks) >= LEAST_CHECKS


def test_pickle():
    X = np.random.default_rng(0).standard_normal((50, 3))
    model = HALPClassifier(random_state=0).fit(X, X[:, 0] > 0)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
