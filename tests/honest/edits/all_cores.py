"""As many threads as there are cores, and one to spare.

Source: worth a look wherever the budget is in wall seconds.
"""

EDITS = [
    ("import math\nimport sys\n", "import math\nimport os\nimport sys\n"),
    (
        "    kind, why = choose_attention(run.device, run.compute_dtype)\n",
        """\
    if run.device.type == "cpu":
        torch.set_num_threads(max(1, min(len(os.sched_getaffinity(0)), os.cpu_count() or 1) - 1))
    kind, why = choose_attention(run.device, run.compute_dtype)
""",
    ),
]
