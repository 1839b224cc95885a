"""ReLU² as a Triton kernel where there is Triton and a GPU; elsewhere as it was.

Source: modded-nanogpt's fused MLP kernels, reduced to their activation.
"""

EDITS = [
    (
        "class MLP(nn.Module):\n",
        """\
if triton is not None:

    @triton.jit
    def squared_relu_kernel(x_pointer, y_pointer, size, BLOCK: tl.constexpr):
        places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(x_pointer + places, mask=places < size)
        x = tl.maximum(x, 0.0)
        tl.store(y_pointer + places, x * x, mask=places < size)


class SquaredReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        if triton is None or not x.is_cuda:
            return F.relu(x).square()
        y = torch.empty_like(x)
        squared_relu_kernel[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
        return y

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * F.relu(x) * d


class MLP(nn.Module):
""",
    ),
    ("self.down(F.relu(self.up(x)).square())", "self.down(SquaredReLU.apply(self.up(x)))"),
    (
        "from torch import Tensor\n",
        """\
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU build of PyTorch has none
    triton = None
""",
    ),
]
