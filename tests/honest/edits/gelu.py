"""GELU instead of ReLU².

Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415); what GPT-2 had.
"""

EDITS = [("self.down(F.relu(self.up(x)).square())", 'self.down(F.gelu(self.up(x), approximate="tanh"))')]
