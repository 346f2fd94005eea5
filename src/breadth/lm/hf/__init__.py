"""Hugging Face checkpoints in and out; the only folder that knows a family of models by name."""
