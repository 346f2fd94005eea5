"""Weights in fewer bits: formats, and linear layers that multiply them without unpacking."""

from breadth.quant.packed import Int4Linear, Int8Linear, pack

__all__ = ["Int4Linear", "Int8Linear", "pack"]
