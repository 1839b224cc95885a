"""The static guard: what train.py may not contain is refused with its line, and what is innocent is not."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from harness import Refused, names, source
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (ROOT / "train.py").read_text()
USUAL = """import prepare
import gc, math, operator, os, random, sys, threading, time, traceback
import numpy as np
import torch
"""
START = len(USUAL.splitlines())  # lines before a snippet


def refusal(text: str, incumbent: str | None = None) -> str | None:
    """What check says; None where it lets pass."""
    try:
        source.check(text.encode(), incumbent.encode() if incumbent is not None else None)
    except Refused as refused:
        told = str(refused)
        assert re.fullmatch(r"train\.py line \d+: .+: .+; .+", told), "one line: what: why; what instead"
        return told
    return None


def line_of(told: str) -> int:
    return int(told.removeprefix("train.py line ").partition(":")[0])


# (what is refused, words of the refusal, an innocent twin)
IMPORTS = [
    ("import subprocess", "imports subprocess: an experiment is one process; threads", "import threading"),
    ("import socket", "has no network; all that it may learn from", "import queue"),
    ("import ctypes", "imports ctypes: it loads native code", "import struct"),
    ("import mmap", "imports mmap", "import array"),
    ("traceback.linecache.getlines('train.py')", "uses linecache.getlines", "traceback.format_exc()"),
    ("import inspect", "imports inspect: it reaches behind", "import types"),
    ("import pickle", "writes no files; run.batches", "import json"),
    ("import pathlib", "imports pathlib", "import os.path"),
    (
        "from multiprocessing import Pool",
        "imports multiprocessing",
        "from concurrent.futures import ThreadPoolExecutor",
    ),
    ("from concurrent.futures import ProcessPoolExecutor", "ProcessPoolExecutor", "import concurrent.futures"),
    ("import evaluate", "the bench's insides are not the experiment's", "import prepare as p"),
    ("def f():\n    from feeder import Channel", "imports feeder", "def f():\n    from torch import nn"),
    ("import requests", "imports requests", "import tiktoken"),
    ("import sklearn.svm", "imports sklearn: it is not among", "import triton.language as tl"),
    ("from torch.nn import *", "imports torch.nn.*: which names", "from torch.nn import Linear, init"),
    ("from . import prepare", "imports relatively", "from kernels import get_kernel"),
    ("import importlib\nimportlib.import_module('os')", "imports importlib", "import re"),
    ("__import__('subprocess')", "uses __import__", "print('__import__')"),
    ("import torch.multiprocessing as mp", "imports torch.multiprocessing", "import torch.distributed as dist"),
    ("torch.multiprocessing.spawn(f)", "uses torch.multiprocessing.spawn", "torch.distributed.is_initialized()"),
    ("from torch.utils import cpp_extension", "native code", "from torch.utils import checkpoint"),
    ("from torch.utils.cpp_extension import load_inline", "native code", "from torch.utils.data import Dataset"),
    ("import torch.hub", "no network", "import torch.fx"),
    ("from torch import package", "imports torch.package", "from torch import signal"),
    ("torch.os.system('ls')", "uses os.system", "torch.signal.windows.hann(3)"),
    ("random._os.remove('x')", "uses os.remove", "random._inst.random()"),
]
PREPARE = [
    ("prepare.load_meta()", "uses prepare.load_meta: the bench's insides", "prepare.start_run()"),
    ("from prepare import CACHE", "imports prepare.CACHE", "from prepare import flash_attention, start_run"),
    (
        "from prepare import Run\nrun = Run(1)",
        "line 6: uses prepare.Run",
        "from prepare import Run\ndef f(run: Run): 0",
    ),
    (
        "isinstance(1, prepare.Run.log)",
        "uses prepare.Run.log",
        "def f(run: prepare.Run) -> None: isinstance(run, prepare.Run)",
    ),
    ("p = prepare\np.stop('x')", "line 6: uses prepare.stop", "p = prepare\nrun = p.start_run()"),
    ("getattr(prepare, 'stop')", "uses prepare.stop", "getattr(prepare, 'flash_attention', None)"),
    ("prepare.__dict__['stop']", "uses prepare.__dict__", "prepared = {}\nprepared['stop'] = 1"),
    (
        "prepare.start_run = None",
        "assigns to prepare.start_run: the bench's insides",
        "start_run = prepare.start_run",
    ),
    (
        "run = prepare.start_run()\nrun._channel",
        "line 6: uses ._channel",
        "run = prepare.start_run()\nrun.device_info",
    ),
    ("def f(r):\n    r._ask({})", "uses ._ask", "def f(r):\n    r.log(1, 2)"),
    ("def f(run):\n    getattr(run, '_feeder')", "uses ._feeder", "def f(run):\n    getattr(run, 'peak_flops')"),
    ("def f(run):\n    run.__dict__['_folder']", "uses ._folder", "def f(run):\n    run.__dict__['seed']"),
    ("def f(run):\n    vars(run)['_folder']", "uses ._folder", "def f(run):\n    vars(run)['seed']"),
    ("operator.attrgetter('_judge')(1)", "uses ._judge", "operator.attrgetter('log')(1)"),
    (
        "class A:\n    def __init__(self, run): self.run = run\n    def f(self): self.run._pending.clear()",
        "line 7: uses ._pending",
        "class A:\n    def __init__(self): self._pending = []\nA()._pending.clear()",
    ),
]
FILES = [
    ("open('x')", "uses open: training reads and writes no files", "def f(open): return open('x')"),
    ("read = open", "uses open", "opened = 1"),
    ("open = open\nopen('x')", "uses open", "open = lambda name: name\nopen('x')"),
    ("def f(open): 0\nopen('x')", "line 6: uses open", "def f(): open = 1; return open"),
    (
        "class A:\n    open = 1\n    def f(self): open('x')",
        "line 7: uses open",
        "class A:\n    open = 1\n    x = open",
    ),
    ("def f(open=open): open('x')", "uses open", "def f(open=None): open('x')"),
    ("exec('x = 1')", "uses exec: code must stand", "executed = 1"),
    ("eval('1')", "uses eval", "def f(model): model.eval()"),
    ("compile('1', '', 'eval')", "uses compile", "compile = torch.compile\ncompile(f)"),
    ("input()", "uses input: nobody sits", "def forward(self, input): return torch.relu(input)"),
    ("breakpoint()", "uses breakpoint", "[0 for input in ()]\nbreakpoints = 1"),
    ("np.load('x')", "uses numpy.load", "np.zeros(3)"),
    ("from numpy import memmap", "imports numpy.memmap", "from numpy import ndarray"),
    ("torch.load('x')", "uses torch.load", "def f(model): model.load_state_dict({})"),
    ("t = torch\nt.save(1, 'x')", "line 6: uses torch.save", "t = torch\nt.zeros(1)"),
    ("a, t = 1, torch\nt.save(1, 'x')", "line 6: uses torch.save", "torch, t = torch, {}\nt.save = 1"),
    ("torch.UntypedStorage.from_file('x')", "from_file", "torch.UntypedStorage(3)"),
    ("np.zeros(3).tofile('x')", "uses .tofile", "np.zeros(3).tobytes()"),
    ("os.listdir('.')", "uses os.listdir: it reaches into the system; os.environ", "os.path.exists('.')"),
    ("from os import system", "imports os.system", "from os import cpu_count"),
    ("os._exit(0)", "uses os._exit", "os.cpu_count()"),
]
ENVIRONMENT = [
    (
        "os.environ['AUTORESEARCH_SEED']",
        "asks for AUTORESEARCH_SEED: the bench's",
        "os.environ['OMP_NUM_THREADS'] = '2'",
    ),
    ("os.environ.get('HOME')", "asks for the variable HOME", "os.environ.get('RANK', '0')"),
    ("os.getenv('HOME\\n')", "asks for the variable HOME?", "os.getenv('TORCH_LOGS')"),
    (
        "e = os.environ\ne['LD_PRELOAD'] = 'x'",
        "line 6: asks for the variable LD_PRELOAD",
        "e = os.environ\ne['CUDA_X'] = ''",
    ),
    ("from os import environ\nenviron.pop('HOME')", "HOME", "from os import environ\nenviron.pop('TRITON_X')"),
    ("'HOME' in os.environ", "HOME", "'PYTORCH_CUDA_ALLOC_CONF' in os.environ"),
    ("os.environ.update({'HOME': ''})", "HOME", "os.environ.update({'NCCL_DEBUG': ''}, KMP_X='')"),
    ("dict(os.environ)", "uses os.environ as a whole", "def f(name): os.environ[name] = '1'"),
    (
        "for name in os.environ: pass",
        "nothing around it; single variables",
        "os.environ |= {'MKL_NUM_THREADS': '1'}",
    ),
    ("os.environ.copy()", "uses os.environ.copy as a whole", "environ = {}\nenviron.copy()"),
]
REFLECTION = [
    ("sys._getframe()", "uses sys._getframe: it reaches behind", "sys.exit('train: over')"),
    ("sys.settrace(f)", "uses sys.settrace", "sys.setrecursionlimit(2000)"),
    ("sys.modules['x']", "uses sys.modules", "modules = {}\nmodules['x'] = 1"),
    ("sys.path.insert(0, 'x')", "uses sys.path", "sys.stdout.flush()"),
    ("from sys import meta_path", "imports sys.meta_path", "from sys import argv"),
    ("gc.get_objects()", "uses gc.get_objects", "gc.freeze()"),
    ("def f(): 0\nf.__globals__", "uses __globals__", "globals()['x'] = 1; vars(); locals()"),
    ("object.__subclasses__()", "uses __subclasses__", "type(1).__mro__, type(1).__name__"),
    ("getattr(f, '__code__')", "uses __code__", "getattr(f, '__doc__')"),
    ("__builtins__", "uses __builtins__", "__name__"),
    ("globals()['__builtins__']", "uses __builtins__", "globals()['__file__']"),
    ("def f(g): g.gi_frame", "uses .gi_frame", "class A:\n    f_back = 1\ndef f(a): return a.f_back"),
    ("threading.settrace(f)", "uses threading.settrace", "threading.Thread()"),
]
PATCHES = [
    (
        "torch.nn.functional.relu = abs",
        "assigns to torch.nn.functional.relu: others rely",
        "relu = torch.nn.functional.relu",
    ),
    ("import torch.nn.functional as F\nF.x = 1", "line 6: assigns to torch.nn.functional.x", "F = {}\nF.x = 1"),
    (
        "from torch import nn\nnn.Linear.forward = f",
        "assigns to torch.nn.Linear.forward",
        "class A: 0\nA.forward = f",
    ),
    ("time.time = lambda: 0", "assigns to time.time", "def f(time): time.time = 1"),
    ("setattr(torch, 'relu', f)", "assigns to torch.relu", "setattr(object, 'relu', f)"),
    ("del math.pi", "assigns to math.pi", "del math"),
    ("torch.__dict__['relu'] = f", "assigns to torch.relu", "torch.relu.__dict__.get('x')"),
    ("torch.float32 += 1", "assigns to torch.float32", "torch.backends.cuda.matmul.allow_tf32 = True"),
    ("torch._dynamo.x = 1", "assigns to torch._dynamo.x", "torch._dynamo.config.cache_size_limit = 64"),
    ("import torch._inductor as i\ni.x = 1", "_inductor.x", "import torch._inductor.config as c\nc.triton.x = 1"),
    (
        "from torch import backends\nsys.stdout = 1",
        "sys.stdout",
        "from torch import backends\nbackends.cudnn.benchmark = 1",
    ),
    ("for math.pi in (1, 2): pass", "assigns to math.pi", "for pi in (1, 2): pass"),
    (
        "try:\n    import triton\nexcept ImportError:\n    triton = None\ntriton.jit = 1",
        "line 9",
        "triton = 1\ntriton.jit = 1",
    ),
]
NATIVE = [
    ("torch.ops.load_library('x')", "uses torch.ops.load_library: it loads native code", "torch.ops.aten.relu(1)"),
    ("torch.classes.load_library('x')", "torch.classes.load_library", "torch.classes.loaded_libraries"),
    ("np.ctypeslib.load_library('x', '.')", "numpy.ctypeslib", "np.linalg.norm(1)"),
]
SEEDS = [
    (
        "torch.manual_seed(1)",
        "calls torch.manual_seed with a number of its own: the bench draws",
        "torch.manual_seed(f())",
    ),
    ("SEED = 3\ntorch.cuda.manual_seed_all(SEED)", "line 6", "def g(run): torch.cuda.manual_seed_all(run.seed)"),
    ("torch.random.manual_seed(-1)", "torch.random.manual_seed", "torch.Generator().manual_seed(1)"),
    ("np.random.seed(seed=1)", "numpy.random.seed", "np.random.default_rng(1)"),
    ("random.seed('a')", "random.seed", "random.Random(3).seed(1)"),
]
DATA = [
    (
        f"x = '{'0123456789abcdef' * 300}'",
        "holds a literal of 4,800 characters",
        f"x = '{'0123456789abcdef' * 200}'",
    ),
    (f"x = b'{'a b ' * 1001}'", "4,004 characters", f'def f():\n    """{"a docstring " * 500}"""'),
    (f'"""{"1" * 4001}"""\n__doc__', "4,001 characters", f'"""{"1" * 4001}"""'),
    (f"x = '{'1, ' * 2000}'", "6,000 characters", f"x = '''{f'float x = y[i];{chr(10)}' * 300}'''"),
    (f"x = 0x{'f' * 5000}", "holds a literal of 20,000 bits", f"x = 0x{'f' * 500}"),
    (f"x = [{'1.5, ' * 1001}]", "holds a literal of 1,001 elements: learned numbers", f"x = [{'1.5, ' * 1000}]"),
    (f"x = [{'[1, 2, 3], ' * 300}]", "1,200 elements", f"x = [{'[1, 2, 3], ' * 200}]"),
    (f"x = {{{', '.join(f'{i}: 1' for i in range(1001))}}}", "1,001 elements", "x = {i: 1 for i in range(1001)}"),
]
TABLE = [*IMPORTS, *PREPARE, *FILES, *ENVIRONMENT, *REFLECTION, *PATCHES, *NATIVE, *SEEDS, *DATA]


@pytest.mark.parametrize("guilty, told, innocent", TABLE, ids=[row[0][:40] for row in TABLE])
def test_refused_and_its_innocent_twin(guilty: str, told: str, innocent: str) -> None:
    line = refusal(USUAL + guilty)
    assert line is not None
    assert told in line
    assert START < line_of(line) <= START + len(guilty.splitlines())
    assert refusal(USUAL + innocent) is None


def test_the_present_train_py_passes() -> None:
    assert refusal(TRAIN) is None
    assert refusal(TRAIN, TRAIN) is None


def test_a_file_that_is_too_long() -> None:
    assert "line 1: has 300,001 bytes" in str(refusal("#" * 300_001))
    assert refusal("#" * 300_000) is None


@pytest.mark.parametrize(
    "guilty, told, innocent",
    [
        ("x = [0.125, 1000.0]\n" * 1100, "line 1001: holds 4,400 digits", "x = [0.125, 1000.0]\n" * 1000),
        ("x = [True, None]\n" * 2100, "4,200 digits", "x = [True, None]\n" * 2000),
        ("a = b = 1\n" + "x = [a, b]\n" * 2100, "4,201 digits", "a = b = 1\n" + "x = (a + b)\n" * 2100),
        ("x = 'lorem'\n" * 5000, "25,000 characters of strings", "'lorem'\n" * 5000),
        (
            "def f():\n    'lorem ipsum'\n" * 3000,
            "line 4364: holds 33,000",
            "def f():\n    0  # lorem ipsum\n" * 3000,
        ),
        ("f'{x}lorem'\n" * 5000, "25,000 characters of strings and docstrings", "f'{x}'\n" * 5000),
        ("".join(f"learned_{i:05} = x\n" for i in range(1500)), "19,501 characters of names", "name = x\n" * 9000),
    ],
)
def test_many_small_literals_count_together(guilty: str, told: str, innocent: str) -> None:
    refused = str(refusal(guilty))
    assert told in refused and refused.endswith("let the training find them; comments are not counted")
    assert refusal(innocent) is None


def test_what_is_no_python() -> None:
    assert "cannot be parsed" in str(refusal("def f(:"))
    assert refusal("x = 1", "def f(:") is None, "an incumbent's fault is not this one's"


def test_the_first_by_line_and_how_many_more() -> None:
    line = refusal("x = 1\nimport socket\ny = open('x')\nimport ctypes\n")
    assert str(line).startswith("train.py line 2: imports socket")
    assert str(line).endswith("(and 2 more)")


def test_nothing_is_found_twice() -> None:
    found = source.findings(ast.parse("open('x'), open('y')\nopen('z')"))
    assert [finding.line for finding in found] == [1, 2]


def test_the_private_names_are_those_of_the_run() -> None:
    tree = ast.parse((ROOT / "prepare.py").read_text())
    (run,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Run")
    names = {node.name for node in ast.walk(run) if isinstance(node, ast.FunctionDef)}
    names |= {
        node.attr for node in ast.walk(run) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    private = {name for name in names if re.match("_[a-z]", name)}
    assert private <= {name for name, reason in source.ATTRIBUTES.items() if reason is source.INSIDES}


def test_what_is_allowed_of_python_exists() -> None:
    others = {"torch", "numpy", "triton", "kernels", "tiktoken", "tqdm", "prepare", "typing_extensions"}
    assert source.ALLOWED - others <= sys.stdlib_module_names
    assert not source.ALLOWED & set(source.IMPORTS)
    assert set(source.IMPORTS) >= names.CARRIED - source.ALLOWED


# ---------------------------------------------------------------------------------------------------
# Seeds, against the incumbent

BEFORE = """
import random, torch
SEED = 1234
def f(run, seed=3):
    g = torch.Generator().manual_seed(run.seed + 1)
    random.seed(run.seed)
    h = random.Random(5)
    return build(g, h, seed=7, width=64)
"""


@pytest.mark.parametrize(
    "old, new, line",
    [
        ("SEED = 1234", "SEED = 1235", 3),
        ("SEED = 1234", "SEED = 1235  # luckier", 3),
        ("seed=3", "seed=4", 4),
        ("run.seed + 1", "run.seed + 2", 5),
        ("run.seed + 1", "run.seed", 5),
        ("run.seed + 1", "77", 5),
        ("random.seed(run.seed)", "random.seed(run.seed * 3 ^ 5)", 6),
        ("    random.seed(run.seed)\n", "", 6),
        ("    random.seed(run.seed)\n", "    random.seed(run.seed)\n    torch.manual_seed(run.seed + 9)\n", 7),
        ("random.Random(5)", "random.Random(6)", 7),
        ("seed=7", "seed=-7", 8),
        ("def f(run, seed=3):\n", 'def f(run, seed=4):\n    """Say something."""\n', 4),
    ],
)
def test_a_change_of_the_seed_alone(old: str, new: str, line: int) -> None:
    assert BEFORE.count(old) == 1
    told = str(refusal(BEFORE.replace(old, new), BEFORE))
    assert re.match(r"train\.py line \d+: changes the seed alone: that is luck and no improvement; ", told)
    assert line_of(told) == line
    assert refusal(BEFORE.replace(old, new) + "\nWIDTH = 3\n", BEFORE) is None, "something else changes as well"


@pytest.mark.parametrize(
    "old, new",
    [
        ("SEED = 1234", "SEED = 1234  # a remark"),
        ("width=64", "width=65"),
        ("Random(5)", "Random(5, 6)"),
        ("build(g", "grow(g"),
    ],
)
def test_a_change_of_something_else(old: str, new: str) -> None:
    assert refusal(BEFORE.replace(old, new), BEFORE) is None


# (a change of a seed, a change of something else under a name like it): 3 becomes 4
NAMED = [
    ("SEED = 3", "SEED_LAYERS = 3"),
    ("DATA_SEED = 3", "SEEDED = 3"),
    ("seed: int = 3", "seed_width: int = 3"),
    ("self.init_seed = 3", "self.seed_tokens = 3"),
    ("seed += 3", "linseed += 3"),
    ("SEEDS = (3, 5)", "SEEDS = 3"),
    ("SEEDS = [0, 3]", "NUM_SEEDS = 3"),
    ("SHUFFLE_SEEDS = 3, 5", "SEEDS_A_BATCH = 3, 5"),
    ("build(data_seed=3)", "build(seed_size=3)"),
    ("build(seed=3)", "build(seeds=3)"),
    ("set_seed(3)", "model_from_seed(run.seed, 3)"),
    ("set_seed(3)", "seed_rows(3)"),
    ("manual_seed(run.seed + 3)", "manual_seed(run.seed, rows=3)"),
    ("cache.seed(3)", "cache.seed(rows=3)"),
    ("default_rng(3)", "default_rng_of(3)"),
    ("def f(*, init_seed=3): 0", "def f(*, seed_layers=3): 0"),
    ("(seed := 3)", "(seeds := 3)"),
    ("x = run.seed * 7 + 3", "x = run.seed_tokens * 7 + 3"),
]


@pytest.mark.parametrize("seed, twin", NAMED)
def test_a_seed_is_what_is_called_so_and_no_more(seed: str, twin: str) -> None:
    assert "changes the seed alone" in str(refusal(seed.replace("3", "4"), seed))
    assert refusal(twin.replace("3", "4"), twin) is None


def test_the_incumbents_own_seed_stays() -> None:
    seeded = "import torch\ntorch.manual_seed(1)\nWIDTH = 3\n"
    assert refusal(seeded, seeded) is None, "the baseline"
    assert refusal(seeded.replace("3", "4"), seeded) is None
    luckier = seeded.replace("(1)", "(2)")
    assert "line 2: calls torch.manual_seed" in str(refusal(luckier.replace("3", "4"), seeded))

    named = "import torch\nSEED = 1\ntorch.manual_seed(SEED)\nWIDTH = 3\n"
    assert refusal(named.replace("3", "4"), named) is None
    luckier = named.replace("= 1", "= 2")
    assert "line 3: calls torch.manual_seed" in str(refusal(luckier.replace("3", "4"), named))


# ---------------------------------------------------------------------------------------------------
# Any source

SNIPPETS = sorted({text for row in TABLE if len(row[0]) < 200 > len(row[2]) for text in (row[0], row[2])})
ODD = [
    "",
    "()",
    "lambda: (yield)",
    "a = b; b = a",
    "a, (b, *c) = c, (a, b)",
    "import a.b.c as d, e",
    "match x:\n    case {'a': [*b], **c} as d: pass\n    case A(b=__code__): pass",
    "def f(*, seed, g=(lambda open: open)): global h; h = open",
    "class A(B, metaclass=C):\n    seed: int = 3\n    x = [y for y in x if (z := y)]",
    "f'{x!r:{y}}'",
    "-1e999j",
    "getattr()",
    "getattr(*x)",
    "setattr(torch, x, y)",
    "vars()['x']",
    "attrgetter()",
    "manual_seed()",
    "torch.seed()",
    "os.environ[1:2]",
    "os.environ['\\ud800']",
    "'\\ud800' in os.environ",
    "async def f(): await x",
    "nonlocal_ = 1\ndef f():\n    nonlocal_ = 2\n    def g(): nonlocal nonlocal_",
    "@a.b\ndef f(): 0",
    "import ａ",
    "\x0c\nopen(\n'x'\n)",
    "x = '\\r'\r\nopen",
]
SOURCES = st.lists(st.sampled_from([*SNIPPETS, *ODD]), max_size=4).map("\n".join)


@settings(max_examples=100)
@given(SOURCES, st.none() | SOURCES)
def test_any_source_passes_or_is_refused_at_a_line_that_exists(text: str, incumbent: str | None) -> None:
    told = refusal(text, incumbent)
    if told is not None:
        assert 1 <= line_of(told) <= max(1, len(text.encode().splitlines()))


@settings(max_examples=50)
@given(st.text("abc_.,:=()[]{}'\" \n\t1+*#@", max_size=60))
def test_any_text_passes_or_is_refused(text: str) -> None:
    refusal(text, text[::-1])


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "1 + " * 900 + "1",
        "x = y" + ".a" * 900,
        "".join(f"a{i} = a{i + 1}\n" for i in range(3000)) + "a3000 = torch\na0.x = 1",
        "x = " + "(" * 90 + ")" * 90,
        "seed = " + "-" * 900 + "1",
    ],
)
def test_depth_is_no_matter(text: str) -> None:
    assert refusal(text, text) is None
