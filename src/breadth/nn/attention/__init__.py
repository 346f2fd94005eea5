"""Attention: one `attend` over several engines, and the layers built on it."""
