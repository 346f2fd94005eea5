"""Generative classifiers: naive Bayes, linear and quadratic discriminants."""
