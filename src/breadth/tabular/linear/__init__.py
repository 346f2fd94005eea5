"""Linear models: least squares, ridge, lasso, logistic regression, and the geometry of their penalties."""
