"""What the benchmarks that train for real stand on."""
