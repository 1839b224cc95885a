"""
The device: CUDA, MPS or CPU. All that differs between them is decided here, and nothing is timed: what a run may
count on is the same in every run on a machine.

torch takes seconds to import, and the feeder does without it: so each function imports it for itself.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus import DataError, file_sha256, first_line

if TYPE_CHECKING:
    import torch

# Dense peak, TFLOP/s, in the type that pick_device chooses (bf16, float32 before Ampere), from the vendors' data
# sheets; the first name that occurs in the device's counts.
PEAK_TFLOPS = {
    "B200": 2250, "H200": 989.4, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989.4, "A100": 312, "L40S": 362,
    "L40": 181, "L4": 121, "A10G": 70, "A10": 125, "5090": 209.5, "4090": 165.2, "3090": 71, "3060": 25.5,
    "V100": 15.7, "T4": 8.1,
}  # fmt: skip
# Of a GPU that is not among them: FLOPs a clock of a multiprocessor, by its compute capability, the first that is
# not above it. Where data centre and consumer GPUs share one, it is the consumer's.
FLOPS_PER_CLOCK = {(12, 0): 512, (10, 0): 8192, (9, 0): 4096, (8, 6): 512, (8, 0): 2048, (0, 0): 128}
ASSUMED_CLOCK = 1.6e9  # Hz, sustained
ASSUMED_FLOPS = 1e12  # FLOP/s, of what is no CUDA GPU


def known_peak(name: str) -> float | None:
    """FLOP/s by the data sheet of the GPU with this name."""
    words = f" {name.replace('-', ' ')} "  # whole words: an A100 is no A10
    return next((peak * 1e12 for key, peak in PEAK_TFLOPS.items() if f" {key} " in words), None)


def estimated_peak(multiprocessors: int, capability: tuple[int, int]) -> float:
    """FLOP/s of an unknown GPU, from what it says of itself: nothing is timed, so that all runs agree."""
    flops = next(flops for since, flops in FLOPS_PER_CLOCK.items() if capability >= since)
    return multiprocessors * flops * ASSUMED_CLOCK


@dataclass(frozen=True)
class Limits:
    """What a run may count on. The same in every run on a machine, so sizes may be chosen by it."""

    flops: float  # FLOP/s at the device's peak, by its data sheet or estimated
    memory: int  # bytes of the device
    seconds: float

    def __str__(self) -> str:
        return f"{self.flops / 1e12:.3g} TFLOP/s, {self.memory / 2**30:.0f} GiB, {self.seconds:g} s"


@dataclass(frozen=True)
class Device:
    torch_device: torch.device
    name: str
    compute_dtype: torch.dtype  # of activations and matrix products
    peak_flops: float | None  # None where it is not known: MFU is then reported as 0
    assumed_flops: float  # the same, or estimated
    memory: int  # bytes

    def synchronize(self) -> None:
        import torch

        if self.torch_device.type == "cuda":
            torch.cuda.synchronize()
        elif self.torch_device.type == "mps":
            torch.mps.synchronize()

    def peak_memory_mb(self) -> float:
        """Peak memory of tensors on CUDA, what the driver holds on MPS, peak resident memory on a CPU."""
        import torch

        if self.torch_device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        if self.torch_device.type == "mps":
            return torch.mps.driver_allocated_memory() / 2**20
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, kilobytes here


def device_kind() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_device() -> Device:
    import torch

    kind = device_kind()
    if kind == "cuda":
        gpu = torch.cuda.get_device_properties()
        dtype = torch.bfloat16 if (gpu.major, gpu.minor) >= (8, 0) else torch.float32
        peak = known_peak(gpu.name)
        assumed = peak or estimated_peak(gpu.multi_processor_count, (gpu.major, gpu.minor))
        return Device(torch.device("cuda"), gpu.name, dtype, peak, assumed, gpu.total_memory)
    if kind == "mps":
        memory = torch.mps.recommended_max_memory()
        return Device(torch.device("mps"), "Apple GPU", torch.float32, None, ASSUMED_FLOPS, memory)
    # Without bf16 instructions a CPU emulates bf16, several times slower than fp32.
    native_bf16 = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    dtype = torch.bfloat16 if native_bf16 else torch.float32
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    name = f"CPU, {os.cpu_count()} cores"
    return Device(torch.device("cpu"), name, dtype, None, ASSUMED_FLOPS, memory)


def settle_numerics(seed: int) -> None:
    """Seeds and precision, for the trainer and for the model host alike."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)  # every device's generator
    torch.set_float32_matmul_precision("high")  # TF32 where there is any
    torch.set_flush_denormal(True)  # denormals cost a CPU a hundred times an ordinary product
    if sys.platform == "linux":
        # Give large tensors' memory back to the pool, not to the kernel: 12 s a minute of a CPU run otherwise.
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(parameter, 2**30)


# Kernel repositories for a compute capability: the first that has a build for this PyTorch.
FLASH_ATTENTION = {(9, 0): ("varunneal/flash-attention-3", "kernels-community/flash-attn3")}


def fetch_flash_attention() -> dict[str, str] | None:
    """Fetches FlashAttention-3 for this GPU, so that a run needs no network. Returns repository, revision, hash
    and folder (which a run's box shows) for the preparation's record; None where there is no kernel for the
    device, or it cannot be had."""
    import torch

    for repository in FLASH_ATTENTION.get(torch.cuda.get_device_capability(), ()):
        try:
            from huggingface_hub import HfApi
            from kernels import install_kernel

            revision = HfApi().repo_info(repository, repo_type="kernel").sha
            path = install_kernel(repository, revision=revision, trust_remote_code=[repository])
            folder = next((folder for folder in path.parents if (folder / "snapshots").is_dir()), path)
            found = {"repository": repository, "revision": str(revision), "sha256": kernel_sha256(path)}
            return {**found, "folder": str(folder)}
        except Exception as error:  # any failure has the same remedy: the next, or what PyTorch brings along
            print(f"prepare: no FlashAttention-3 from {repository} ({first_line(error)})")
    return None


def kernel_sha256(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.suffix in (".so", ".py"))
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()


def load_flash_attention(recorded: dict[str, str]) -> Any:
    """The FlashAttention-3 interface that fetch_flash_attention fetched: the same files, and nothing else. Raises
    DataError where it cannot be loaded."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # a run loads what preparation fetched, or nothing
    try:
        from kernels import get_kernel, install_kernel

        key = {"revision": recorded["revision"], "trust_remote_code": [recorded["repository"]]}
        path = install_kernel(recorded["repository"], local_files_only=True, **key)
        if kernel_sha256(path) != recorded["sha256"]:
            raise DataError("the files differ from those that preparation recorded")
        return get_kernel(recorded["repository"], **key).flash_attn_interface
    except Exception as error:  # whatever it is, the remedy is one
        why = f"FlashAttention-3 was prepared and cannot be loaded ({first_line(error)}): run prepare.py again"
        raise DataError(why) from error
