"""Attention stays within the document: a row holds several, and what came before BOS is another text.

Source: modded-nanogpt's and nanochat's variable-length attention; Llama 3 masks likewise.
"""

EDITS = [
    (
        "            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)\n",
        "            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:T, :T] + other)\n",
    ),
    (
        "            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:T, :T])\n",
        "            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:T, :T] + other)\n",
    ),
    (
        "    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:\n",
        "    def forward(self, q: Tensor, k: Tensor, v: Tensor, other: Tensor) -> Tensor:\n",
    ),
    (
        "        y: Tensor = self.out(self.attend(q, k, v).reshape(x.shape))\n",
        """\
        document = (tokens == self.bos_id).cumsum(1)
        apart = (document[:, :, None] != document[:, None]).unsqueeze(1)  # [B, 1, query, key]
        other = torch.zeros_like(apart, dtype=q.dtype).masked_fill(apart, -torch.inf)
        y: Tensor = self.out(self.attend(q, k, v, other).reshape(x.shape))
""",
    ),
    (
        "        self.out = Linear(width, width)\n",
        """\
        self.out = Linear(width, width)
        self.bos_id = config["bos_id"]
""",
    ),
    (
        "    kind, why = choose_attention(run.device, run.compute_dtype)\n",
        '    kind, why = "sdpa", "only its mask can tell documents apart"\n',
    ),
    (
        "    model = build_model(config).to(run.device)\n",
        """\
    config["bos_id"] = run.bos_id
    model = build_model(config).to(run.device)
""",
    ),
]
