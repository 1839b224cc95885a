"""What the reference needs and a machine may lack, put in from outside: CUDA, FlashAttention-3, a compiler."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import torch


def windowed_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, window_size: tuple[int, int]
) -> torch.Tensor:
    """flash_attn_func by PyTorch's own kernel. q, k, v and the result: [B, T, heads, head_dim]. A window of (n, 0)
    shows a token itself and the n before it."""
    if not causal or window_size[1] != 0:
        raise NotImplementedError("only causal attention has a stand-in")
    T, before = q.size(1), window_size[0]
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    v = v.to(q.dtype)
    if before < 0 or before >= T - 1:
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        place = torch.arange(T, device=q.device)
        ago = place[:, None] - place
        mask = (ago >= 0) & (ago <= before)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.transpose(1, 2)


def install(device: str) -> list[str]:
    """Puts in what `device` lacks, in this process alone. Returns what that was, a line each."""
    said: list[str] = []
    _kernels(device, said)
    if device != "cuda":
        said.append(_cuda())
    if device == "cpu" and not has_compiler():
        said.append(_eager())
    return said


def _kernels(device: str, said: list[str]) -> None:
    """On CUDA the real ones are asked first; that they cannot be had is seen, and said, while train.py runs."""
    if device == "cuda":
        import kernels

        fetch: Callable[..., Any] = kernels.get_kernel

        def get_kernel(*given: Any, **named: Any) -> Any:
            try:
                return fetch(*given, **named)
            except Exception as error:  # whatever it is, the remedy is the same, and it is said
                said.append(f"FlashAttention-3 cannot be had ({str(error)[:80]}): scaled_dot_product_attention")
                return SimpleNamespace(flash_attn_interface=SimpleNamespace(flash_attn_func=windowed_attention))

        kernels.get_kernel = get_kernel
        return
    fake: Any = ModuleType("kernels")
    interface = SimpleNamespace(flash_attn_func=windowed_attention)
    fake.get_kernel = lambda *given, **named: SimpleNamespace(flash_attn_interface=interface)
    sys.modules["kernels"] = fake
    said.append("FlashAttention-3 (kernels.get_kernel): scaled_dot_product_attention with the same windows")


def _cuda() -> str:
    torch.cuda.get_device_capability = lambda *given: (0, 0)
    torch.cuda.synchronize = lambda *given: None
    torch.cuda.manual_seed = lambda *given: None
    torch.cuda.max_memory_allocated = lambda *given: 0
    return "torch.cuda: get_device_capability, synchronize, manual_seed and max_memory_allocated do nothing"


def has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX") or "c++", "g++", "clang++"))


def _eager() -> str:
    def unchanged(model: Any = None, **named: Any) -> Any:
        return model if model is not None else lambda function: function

    torch.compile = unchanged
    return "torch.compile: nothing, for there is no C++ compiler here"
