"""Clusterings: k-means, k-means by batches, DP-means, Gaussian mixtures, and a report of each cluster."""
