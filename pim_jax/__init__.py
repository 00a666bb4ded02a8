"""PIM, the Perceptual Information Metric, in JAX: `from pim_jax import metric`."""
