"""Neural networks as torch parts: layers, losses, optimizers, attention, probes."""
