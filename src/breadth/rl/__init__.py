"""Reinforcement learning on gymnasium environments."""
