"""Nearest neighbours: exact searches, and what votes or averages over them."""
