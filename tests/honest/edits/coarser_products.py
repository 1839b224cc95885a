"""Float32 products may be rounded further, and cuDNN may choose by measuring.

Source: PyTorch's performance notes.
"""

EDITS = [
    (
        "    config = model_config(hp, run.vocab_size, T, run.compute_dtype, kind)\n",
        """\
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    config = model_config(hp, run.vocab_size, T, run.compute_dtype, kind)
""",
    ),
]
