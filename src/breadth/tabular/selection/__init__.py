"""Selection of columns: filters, wrappers, embedded and stability selection."""
