"""Learning from labels that are few or wrong: active learning, self-training, label propagation, noisy labels."""
