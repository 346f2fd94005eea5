"""A VAE's bound beside linear Gaussian models of the digits, and a GAN's samples as a classifier sees them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.svm import SVC

from tests.nn.generative.digits import Densities, densities, images, players, samples, trained_generator


def shares(X: np.ndarray, y: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Share of each class among samples, as a support vector machine sees them that was trained on real digits."""
    labels = SVC(gamma=0.001, C=10).fit(X, y).predict(generated)
    return np.bincount(labels, minlength=int(y.max()) + 1) / len(generated)


def test_a_short_training_already_bounds_the_density_above_that_of_probabilistic_pca():
    found = densities(0, 8, epochs=15)
    assert found.vae > found.pca + 10


def mean_of_seeds(latent_size: int, **options) -> Densities:
    return Densities(*np.mean([densities(seed, latent_size, **options) for seed in range(3)], axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("latent_size", [2, 8, 32])
def test_the_elbo_is_above_the_density_of_pca_and_of_factor_analysis_with_as_many_latents(latent_size):
    """Means over three seeds, of a bound against densities: what the VAE leaves undone counts against it."""
    found = mean_of_seeds(latent_size)
    assert found.vae > found.pca + 10, found
    assert found.vae > found.factors + 2, found  # its own noise model: a variance for each pixel


@pytest.mark.slow
def test_with_one_variance_for_all_pixels_as_pca_has_it_the_elbo_is_above_too():
    found = mean_of_seeds(8, log_var_shape=())
    assert found.vae > found.pca + 10, found


def test_a_gan_of_two_digits_makes_both_where_an_untrained_one_makes_noise():
    X, y = images(classes=2)
    generator, run = trained_generator(X, 0, width=128, epochs=60)
    assert sum(epoch.skipped for epoch in run.history) == 0
    generated = samples(generator, 300, 0)
    assert shares(X, y, generated).min() > 0.2
    of_one_class = pairwise_distances(X[y == 0]).mean()
    assert pairwise_distances(generated, X).min(1).mean() < of_one_class
    noise = samples(players(0, 128)[0], 300, 0)
    assert pairwise_distances(noise, X).min(1).mean() > of_one_class


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_classifier_sees_all_ten_classes_in_samples_that_look_like_digits(seed):
    X, y = images()
    generator, _ = trained_generator(X, seed)
    generated = samples(generator, 1000, seed)
    found = shares(X, y, generated)
    assert found.min() >= 0.02, found
    # nearer to a real digit than two real ones of a class are to each other
    of_one_class = np.mean([pairwise_distances(X[y == c]).mean() for c in range(10)])
    assert pairwise_distances(generated, X).min(1).mean() < 0.75 * of_one_class
    # what the classes are not: in noise a classifier sees a few of them
    assert shares(X, y, samples(players(seed, 256)[0], 1000, seed)).min() < 0.02
    assert shares(X, y, np.random.default_rng(seed).uniform(0, 16, (1000, 64))).min() < 0.02
