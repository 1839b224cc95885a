"""The rate falls along a cosine instead of a line.

Source: Loshchilov and Hutter 2016 (arXiv 1608.03983); mar8 found it worse, at its own warmdown.
"""

EDITS = [
    (
        "    falling = final + (1 - final) * (1 - progress) / warmdown if progress > 1 - warmdown else 1.0",
        """\
    left = min(1.0, (1 - progress) / warmdown) if warmdown > 0 else 1.0
    falling = final + (1 - final) * (1 - math.cos(math.pi * left)) / 2""",
    )
]
