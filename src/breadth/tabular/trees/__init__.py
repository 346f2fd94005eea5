"""Decision trees: binning, single trees, forests, boosting."""
