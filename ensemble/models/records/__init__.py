"""Records of the built-in models: plain data, one module a family, no JAX."""
