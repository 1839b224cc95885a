"""torch.compile on a CPU as well.

The test trains it with compilation switched off.

Source: worth a try with a longer budget.
"""

EDITS = [('COMPILE_ON = ("cuda",)', 'COMPILE_ON = ("cuda", "cpu")')]
