"""Attention and its cheaper kinds, at lengths where the square begins to tell; errors are those of untrained forms."""

from breadth.evidence import contenders_attention as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_sequences

COMPARISON = Comparison(
    name="attention",
    contenders=(c.ATTEND, c.NAIVE, c.BANDED, c.LINEAR, c.PERFORMER, c.LINFORMER, c.TORCH, c.UNIFORM),
    baseline="torch SDPA",
    data=("diffuse:512", "focused:512", "local:512", "diffuse:4096", "focused:4096", "local:4096"),
    quick_data=("diffuse:512", "focused:512", "local:512", "local:2048"),
    measures={"attention": MEASURES["attention"]},
    families=("attention",),
    read=read_sequences,
)
