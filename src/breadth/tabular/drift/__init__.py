"""Detectors of change in a stream."""
