"""Models of the data themselves: a variational autoencoder and a generative adversarial network."""
