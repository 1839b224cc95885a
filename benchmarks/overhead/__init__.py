"""What benchmarks/startup.py stands on."""
