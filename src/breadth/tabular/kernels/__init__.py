"""Support vector machines, and ridge regression, principal components and Gaussian processes in a kernel's space."""
