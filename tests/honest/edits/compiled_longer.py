"""The compiler tries more kernels.

The test trains it with compilation switched off.

Source: modded-nanogpt sets the same of Inductor's options.
"""

EDITS = [
    ('COMPILE_ON = ("cuda",)', 'COMPILE_ON = ("cuda", "cpu")'),
    (
        "            step_loss = torch.compile(loss_of, dynamic=False)\n",
        """\
            torch._inductor.config.coordinate_descent_tuning = True
            torch._dynamo.config.cache_size_limit = 64
            step_loss = torch.compile(loss_of, dynamic=False, mode="max-autotune-no-cudagraphs")
""",
    ),
    ("import torch.nn as nn\n", "import torch._dynamo\nimport torch._inductor.config\nimport torch.nn as nn\n"),
]
