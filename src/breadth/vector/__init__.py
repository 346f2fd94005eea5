"""Vector search: flat, IVF and HNSW indexes, their store, and other engines behind the same protocol."""
