"""Speed and quality beside each peer: `make bench`."""
