"""Losses, from logits and stable there."""

from breadth.nn.losses.consistency import consistency_loss, joint_semi_supervised_loss, ramp_up
from breadth.nn.losses.contract import reduce_weighted
from breadth.nn.losses.cross_entropy import (
    binary_cross_entropy_with_logits,
    brier_loss,
    cross_entropy,
    sigmoid_mse_loss,
)
from breadth.nn.losses.imbalance import (
    asymmetric_loss,
    balanced_softmax_loss,
    class_balanced_weight,
    focal_loss,
    sigmoid_focal_loss,
)
from breadth.nn.losses.noisy import (
    generalized_cross_entropy,
    hard_bootstrapping_loss,
    mae_loss,
    soft_bootstrapping_loss,
    symmetric_cross_entropy,
)
from breadth.nn.losses.penalty import (
    elastic_net_penalty,
    group_penalty,
    l1_penalty,
    l2_penalty,
    penalized_loss,
)
from breadth.nn.losses.variational import (
    bernoulli_reconstruction_loss,
    gaussian_reconstruction_loss,
    kl_to_standard_normal,
    negative_elbo,
)

__all__ = [
    "asymmetric_loss",
    "balanced_softmax_loss",
    "bernoulli_reconstruction_loss",
    "binary_cross_entropy_with_logits",
    "brier_loss",
    "class_balanced_weight",
    "consistency_loss",
    "cross_entropy",
    "elastic_net_penalty",
    "focal_loss",
    "gaussian_reconstruction_loss",
    "generalized_cross_entropy",
    "group_penalty",
    "hard_bootstrapping_loss",
    "joint_semi_supervised_loss",
    "kl_to_standard_normal",
    "l1_penalty",
    "l2_penalty",
    "mae_loss",
    "negative_elbo",
    "penalized_loss",
    "ramp_up",
    "reduce_weighted",
    "sigmoid_focal_loss",
    "sigmoid_mse_loss",
    "soft_bootstrapping_loss",
    "symmetric_cross_entropy",
]
