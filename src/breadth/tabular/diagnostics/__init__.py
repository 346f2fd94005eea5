"""Whether what a fitted model takes for granted holds: linear and logistic regressions, k-means."""
