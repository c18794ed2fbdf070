"""The benchmark: what is measured, how, on which machine, and the records of it."""
