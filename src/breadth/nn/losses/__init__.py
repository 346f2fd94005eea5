"""Losses, from logits and stable there."""
