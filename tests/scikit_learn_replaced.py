"""A pytest plugin: scikit-learn's own tests of its MLP estimators find fastmlp's in their place.

Not a test; test_sklearn_suites.py runs pytest with it.
"""

import sklearn.neural_network

import fastmlp.sklearn

sklearn.neural_network.MLPClassifier = fastmlp.sklearn.MLPClassifier
sklearn.neural_network.MLPRegressor = fastmlp.sklearn.MLPRegressor
