"""Data on which every assumption holds, and the same with one of them broken, 500 rows each."""

import numpy as np

N = 500


def linear(seed, violation=None):
    """X, y and whether to fit an intercept."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 4)) * [1, 2, 0.5, 1] + [0, 10, -3, 0]
    noise = rng.normal(size=N)
    intercept = True
    if violation == "VIF":
        X[:, 3] = X[:, 0] + 0.2 * X[:, 3]
    if violation == "condition number":
        X[:, 3] = X[:, 0] + X[:, 1] / 2 - X[:, 2] + 0.05 * X[:, 3]
    if violation == "rank":
        X[:, 3] = X[:, 0] - 2 * X[:, 1]
    mean = 1.0 + X @ [1.0, -0.5, 1.0, 0.5]
    if violation == "RESET":
        mean = mean + 0.5 * X[:, 0] ** 2
    if violation == "Durbin–Watson":
        for i in range(1, N):
            noise[i] += 0.3 * noise[i - 1]
    if violation == "Breusch–Pagan":
        noise *= np.exp(0.4 * X[:, 0])
    if violation == "residual mean":
        intercept = False
        mean = mean + 2.0
    if violation == "outliers":
        noise[rng.integers(N)] += 7.0
    if violation == "influence":
        X[7, 0], noise[7] = 30.0, -30.0
        mean[7] = 1.0 + X[7] @ [1.0, -0.5, 1.0, 0.5]
    return X, mean + noise, intercept


def logistic(seed, violation=None, classes=2):
    """X, y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 4)) * [1, 2, 0.5, 1] + [0, 10, -3, 0]
    X[:, 2] = rng.gamma(2.0, size=N)
    X[:, 3] = rng.random(N) < 0.4
    if violation == "VIF":
        X[:, 1] = 10 + 2 * X[:, 0] + 0.4 * rng.normal(size=N)
    if violation == "rank":
        X[:, 1] = 3 * X[:, 0] + X[:, 3]
    logit = X[:, 0] - 0.3 * (X[:, 1] - 10) + 0.4 * (X[:, 2] - 2) + 0.5 * X[:, 3]
    if violation == "Box–Tidwell":
        logit = logit + X[:, 0] ** 2 - 1
    if violation == "independence":
        latent = rng.normal(size=N)
        for i in range(1, N):
            latent[i] = 0.9 * latent[i - 1] + np.sqrt(1 - 0.81) * latent[i]
        logit = logit + 2.0 * latent
    if classes > 2:
        scores = np.column_stack([np.zeros(N), logit, 0.5 * X[:, 0] - 0.2])
        return X, (scores + rng.gumbel(size=(N, 3))).argmax(axis=1)
    y = (rng.random(N) < 1 / (1 + np.exp(-logit))).astype(int)
    if violation == "separation":
        X[:, 2] = np.where(y == 1, 4.0, 1.0) + rng.random(N)
    return X, y


def clusters(seed, violation=None):
    """X, and how many clusters to look for."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 3.0], [0.0, 10.0, -3.0]])
    share, spread = [1 / 3] * 3, np.ones(3)
    if violation == "size":
        share = [0.75, 0.125, 0.125]
    if violation == "density":
        spread = np.array([0.5, 1.5, 1.5])
    codes = rng.choice(3, size=N, p=share)
    noise = rng.normal(size=(N, 3)) * spread[codes, None]
    if violation == "spherical":
        noise *= [1.0, 1.0, 3.0]
    X = centres[codes] + noise
    if violation == "scale":
        X[:, 2] *= 100
    if violation == "convexity":
        angle = rng.uniform(0, np.pi, size=N)
        upper = rng.random(N) < 0.5
        moon = np.where(
            upper[:, None], np.c_[np.cos(angle), np.sin(angle)], np.c_[1 - np.cos(angle), 0.5 - np.sin(angle)]
        )
        return moon + rng.normal(scale=0.08, size=(N, 2)), 2
    return X, 3
