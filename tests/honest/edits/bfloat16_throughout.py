"""Activations in bfloat16 even where the device has to emulate it.

Source: to see on a CPU what a GPU would get.
"""

EDITS = [
    (
        "    config = model_config(hp, run.vocab_size, T, run.compute_dtype, kind)\n",
        "    config = model_config(hp, run.vocab_size, T, torch.bfloat16, kind)\n",
    ),
]
