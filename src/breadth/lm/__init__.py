"""Language models: one model for every architecture, checkpoints in and out, decoding."""
