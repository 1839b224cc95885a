"""SiLU instead of ReLU².

Source: Ramachandran and others 2017 (arXiv 1710.05941).
"""

EDITS = [("self.down(F.relu(self.up(x)).square())", "self.down(F.silu(self.up(x)))")]
