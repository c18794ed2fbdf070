"""The benchmark: cases (what), clock (how), machine, records, stats, runner."""
