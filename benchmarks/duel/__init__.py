"""Parts of benchmarks/reference.py: trainers side by side on one text, one clock and one scorer."""
