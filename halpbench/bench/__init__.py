"""The benchmark: cases, measurements, machines, and their records."""
