"""CUDA's allocator may extend its segments: less memory lost between tensors of odd sizes.

Source: PyTorch's memory notes; autoresearch's train.py begins with this line.
"""

EDITS = [
    ("import math\nimport sys\n", "import math\nimport os\nimport sys\n"),
    (
        "import torch\nimport torch.nn as nn\n",
        """\
os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"

import torch
import torch.nn as nn
""",
    ),
]
