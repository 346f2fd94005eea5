"""breadth: the machine-learning canon as working parts."""

__version__ = "0.1.0"
