"""Models of the data themselves: a variational autoencoder."""
