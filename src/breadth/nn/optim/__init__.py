"""Optimizers with the interface of `torch.optim`."""
