"""The rows of the MLP's first matrix are centred before they multiply.

Source: Qiao and others 2019 (arXiv 1903.10520).
"""

EDITS = [
    (
        "def rotary_angles(",
        """\
class CentredLinear(Linear):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=1, keepdim=True)
        return F.linear(x, weight.to(x.dtype))


def rotary_angles(""",
    ),
    ("self.up, self.down = Linear(width, 4 * width), ", "self.up, self.down = CentredLinear(width, 4 * width), "),
]
