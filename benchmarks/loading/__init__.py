"""What benchmarks/data.py stands on."""
