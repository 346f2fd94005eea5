"""Recommending items to users from what they took or how they rated."""

from breadth.recommend.als import ImplicitALS
from breadth.recommend.als_explicit import ExplicitALS
from breadth.recommend.interactions import Recommendation
from breadth.recommend.neighbours import ItemKNN, UserKNN
from breadth.recommend.popularity import Popularity

__all__ = ["ExplicitALS", "ImplicitALS", "ItemKNN", "Popularity", "Recommendation", "UserKNN"]
