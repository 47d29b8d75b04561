"""`make bench`: measures the gateway through HTTP and writes the tables of docs/benchmarks.md."""
