"""HALP: high-accuracy low-precision training, and the benchmarks that measure it."""
