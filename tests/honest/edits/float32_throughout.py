"""Activations in float32 everywhere: what bfloat16 costs.

Source: an ablation.
"""

EDITS = [
    (
        "    kind, why = choose_attention(run.device, run.compute_dtype)\n",
        "    kind, why = choose_attention(run.device, torch.float32)\n",
    ),
    (
        "    config = model_config(hp, run.vocab_size, T, run.compute_dtype, kind)\n",
        "    config = model_config(hp, run.vocab_size, T, torch.float32, kind)\n",
    ),
]
