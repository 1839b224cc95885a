"""What train.py may not contain, found by reading it: imports, files, the bench's insides, patches, seeds, data.

A courtesy more than a wall. It says before a run, with the line, what the sandbox and the scorer would not let
count anyway; and it closes what neither of them sees: a lucky seed, numbers learned elsewhere. Only what the text
decides is refused, and no honest experiment may ever be: where a name may stand for something else as well (a
parameter called `input`), it passes.

`names` tells what a name stands for, `seeds` a seed from an idea. Here are the tables of what is refused, and the
rules that look for it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from . import Refused, amount, seeds
from .branch import TRAIN
from .names import CARRIED, Names, canonical, last, step, text_of


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that may not be: the line, what it does and why that is not possible, what is allowed instead."""

    line: int
    what: str
    instead: str


def check(text: bytes, incumbent: bytes | None) -> None:
    """Refuse a train.py with findings, in one line about the first. `incumbent`: the text that it is to beat."""
    tree = _parsed(text)
    if tree is None:
        raise Refused(f"{TRAIN} line 1: is no Python: it cannot be parsed; mend it and run again")
    found = findings(tree, _parsed(incumbent) if incumbent is not None else None)
    if len(text) > FILE_MOST:
        found.insert(0, _finding(1, f"has {len(text):,} bytes, more than {FILE_MOST:,}", DATA))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise Refused(f"{TRAIN} line {found[0].line}: {found[0].what}; {found[0].instead}{more}")


def findings(tree: ast.Module, incumbent: ast.Module | None = None) -> list[Finding]:
    """All that may not be in `tree`, by line."""
    names = Names(tree)
    found = {finding for node in names.nodes for rule in RULES for finding in rule(node, names)}
    for line, path in seeds.new_literals(names, incumbent):
        found.add(_finding(line, f"calls {_short(path)} with a number of its own", DRAWN))
    if incumbent is not None and (first := seeds.alone(tree, incumbent)) is not None:
        found.add(_finding(first, "changes the seed alone", LUCK))
    return sorted(found) or [  # what is wrong with one line says more than what is wrong with all
        _finding(line, f"holds {count:,} {what} in all, more than {amount.MOST[what]:,}", TOGETHER)
        for line, what, count in amount.too_much(names.nodes)
    ]


def _parsed(text: bytes) -> ast.Module | None:
    try:
        return ast.parse(text, TRAIN)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# ---------------------------------------------------------------------------------------------------
# Why something is refused, and what is allowed instead


class Reason(NamedTuple):
    why: str
    instead: str


INSIDES = Reason("the bench's insides are not the experiment's", "take what prepare.start_run() and its run give")
FILES = Reason(
    "training reads and writes no files", "run.batches serves text, run.finish saves the model, print() logs"
)
NETWORK = Reason("training has no network", "all that it may learn from comes from run.batches")
PROCESSES = Reason("an experiment is one process", "threads are allowed: threading, concurrent.futures")
NATIVE = Reason("it loads native code or maps memory", "write kernels in triton or let torch.compile do so")
CODE = Reason("code must stand where the record shows it", "write it into train.py itself")
WAITS = Reason("nobody sits at a run", "print() writes to its log")
LOOKS = Reason(
    "it reaches behind the running program", "write what you need into train.py; it may read its globals()"
)
SYSTEM = Reason("it reaches into the system", "os.environ, os.path and os.cpu_count() are allowed")
AROUND = Reason(
    "a run depends on nothing around it", "single variables that steer libraries are allowed: CUDA_…, OMP_…"
)
PATCHES = Reason("others rely on what it is", "subclass or wrap it under a name of your own; …config… may be set")
DATA = Reason("learned numbers in the source are no training", "compute them, or let the training find them")
TOGETHER = Reason(DATA.why, f"{DATA.instead}; comments are not counted")
DRAWN = Reason("the bench draws the seeds", "take run.seed, or a torch.Generator() of your own")
LUCK = Reason("that is luck and no improvement", "change what is computed, and the bench draws the seed")
HIDDEN = Reason("which names that brings cannot be seen", "import the module, or its names one by one")
ELSEWHERE = Reason(
    "it is not among what an experiment may use",
    "use torch, numpy, triton, kernels, and of Python what computes: math, itertools, dataclasses, …",
)


def _finding(line: int, what: str, reason: Reason) -> Finding:
    return Finding(line, f"{what}: {reason.why}", reason.instead)


def _short(name: str) -> str:
    """A name fit for one line."""
    return re.sub("[^ -~]", "?", name.removeprefix("builtins."))[:60]


# ---------------------------------------------------------------------------------------------------
# The tables


def _words(text: str) -> set[str]:
    return set(text.split())


def _table(*rows: tuple[str, Reason]) -> dict[str, Reason]:
    return {name: reason for names, reason in rows for name in names.split()}


ALLOWED = _words(
    "torch numpy triton kernels tiktoken tqdm prepare __future__ abc array bisect cmath collections concurrent "
    "contextlib contextvars copy dataclasses datetime decimal enum errno fractions functools gc hashlib heapq "
    "itertools json logging math numbers operator os platform pprint queue random re statistics string struct sys "
    "textwrap threading time traceback types typing typing_extensions warnings weakref"
)
IMPORTS = _table(  # whatever is not in ALLOWED is refused; these have a reason of their own
    ("evaluate feeder corpus device vitals tools", INSIDES),
    ("io pathlib shutil tempfile glob pickle shelve marshal fileinput sqlite3 csv zipfile tarfile pyarrow", FILES),
    ("socket ssl select urllib http requests httpx aiohttp ftplib smtplib huggingface_hub", NETWORK),
    ("subprocess multiprocessing signal asyncio pty fcntl resource psutil posix", PROCESSES),
    ("ctypes cffi mmap", NATIVE),
    ("importlib builtins code codeop imp runpy", CODE),
    ("inspect ast dis site pkgutil zipimport atexit linecache", LOOKS),
    ("base64 binascii zlib gzip bz2 lzma", DATA),
)
PATHS = _table(  # dotted names, with all that is below them
    ("builtins.open", FILES),
    ("builtins.exec builtins.eval builtins.compile builtins.__import__", CODE),
    ("builtins.input builtins.breakpoint", WAITS),
    ("numpy.load numpy.memmap numpy.fromfile numpy.fromregex numpy.loadtxt numpy.genfromtxt numpy.save", FILES),
    ("numpy.savez numpy.savez_compressed numpy.savetxt numpy.DataSource numpy.lib.format.open_memmap", FILES),
    ("torch.load torch.save torch.serialization torch.from_file torch.UntypedStorage.from_file", FILES),
    ("torch.jit.load torch.jit.save torch.export.load torch.export.save torch.package", FILES),
    ("logging.FileHandler logging.handlers logging.config", FILES),
    ("torch.hub torch.utils.model_zoo", NETWORK),
    ("torch.multiprocessing concurrent.futures.process concurrent.futures.ProcessPoolExecutor", PROCESSES),
    ("torch.utils.cpp_extension torch.utils.ffi torch.ops.load_library torch.classes.load_library", NATIVE),
    ("numpy.ctypeslib numpy.f2py numpy.distutils", NATIVE),
    ("sys._getframe sys._current_frames sys.settrace sys.setprofile sys.monitoring sys.addaudithook", LOOKS),
    ("sys.modules sys.path sys.meta_path sys.path_hooks sys.path_importer_cache", LOOKS),
    ("traceback.extract_stack traceback.extract_tb traceback.walk_stack traceback.walk_tb", LOOKS),
    ("traceback.format_stack traceback.StackSummary traceback.FrameSummary traceback.TracebackException", LOOKS),
    ("threading.settrace threading.setprofile gc.get_objects gc.get_referrers gc.get_referents", LOOKS),
)
PREPARE_ALLOWED = {"start_run", "flash_attention"}
RUN_TYPE = "prepare.Run"  # to annotate with, not to call
OS_ALLOWED = _words(
    "environ getenv path cpu_count process_cpu_count sched_getaffinity sched_setaffinity linesep sep pathsep name "
    "getpid getcwd times getloadavg fspath PathLike"
)
ATTRIBUTES = _table(  # the first two rows: of the run; those without __ may be a class's own: self._done
    ("_ask _channel _display _done _feeder _first_loss _folder", INSIDES),
    ("_judge _judge_next _logged _pending _recent _smooth _stop _text _waited _warned", INSIDES),
    ("__globals__ __subclasses__ __code__ __builtins__ __loader__ __spec__", LOOKS),
    ("f_back f_builtins f_globals f_locals tb_frame gi_frame cr_frame ag_frame", LOOKS),
    ("tofile", FILES),
)
SPELLERS = {"getattr", "setattr", "delattr", "__getattribute__", "__setattr__", "attrgetter", "methodcaller"}
ONE_VARIABLE = {"os.getenv", "os.environ.get", "os.environ.pop", "os.environ.setdefault"}
VARIABLES = re.compile(
    "PYTORCH_|TORCH|TRITON_|CUDA_|CUBLAS_|CUDNN_|NCCL_|GLOO_|OMP_|MKL_|KMP_|GOMP_|OPENBLAS_|MALLOC_|TOKENIZERS_"
    "|(HF_HUB_OFFLINE|NVIDIA_TF32_OVERRIDE|LOCAL_RANK|RANK|WORLD_SIZE)$"
)
SETTINGS = {"config", "flags", "knobs"}  # modules that are there to be assigned to
COLLECTIONS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
LITERAL_MOST = 4_000  # characters of a string
PROSE_MOST = 16_000  # of one that reads like words or a kernel's source
ELEMENTS_MOST = 1_000  # of a list, tuple, set or dict, with what is in those inside it
FILE_MOST = 300_000  # bytes of train.py


def _refused(path: str) -> Reason | None:
    """Why a dotted name may not be used."""
    parts = path.split(".")
    if parts[0] == "prepare":
        return INSIDES if len(parts) > 1 and parts[1] not in PREPARE_ALLOWED else None
    if parts[0] == "os" and len(parts) > 1 and parts[1] not in OS_ALLOWED:
        return SYSTEM
    if parts[0] in CARRIED and parts[0] in IMPORTS and parts[0] != "builtins":
        return IMPORTS[parts[0]]
    for i in range(1, len(parts) + 1):
        if (prefix := ".".join(parts[:i])) in PATHS:
            return PATHS[prefix]
    return None


# ---------------------------------------------------------------------------------------------------
# The rules: each is asked about every node


def _imports(node: ast.AST, names: Names) -> Iterator[Finding]:
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        return
    if isinstance(node, ast.ImportFrom) and node.level:
        yield Finding(node.lineno, "imports relatively: train.py is in no package", ELSEWHERE.instead)
        return
    before = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for path in [before + alias.name for alias in node.names]:
        top = path.partition(".")[0]
        if top not in ALLOWED:
            yield _finding(node.lineno, f"imports {_short(top)}", IMPORTS.get(top, ELSEWHERE))
        elif path.endswith(".*"):
            yield _finding(node.lineno, f"imports {_short(path)}", HIDDEN)
        elif path != RUN_TYPE and (reason := _refused(canonical(path))):
            yield _finding(node.lineno, f"imports {_short(path)}", reason)


def _references(node: ast.AST, names: Names) -> Iterator[Finding]:
    """Uses of what a dotted name stands for, whatever it is called here."""
    parent = names.parent.get(node)
    if not isinstance(node, ast.expr) or isinstance(parent, ast.Attribute):
        return  # the whole of a chain a.b.c is looked at, not its beginnings
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or (path := names.path(node)) is None:
        return
    if path == RUN_TYPE and not (isinstance(parent, ast.Call) and parent.func is node):
        return
    if reason := _refused(path):
        yield _finding(node.lineno, f"uses {_short(path)}", reason)
    elif path == "os.getenv" or path.startswith("os.environ"):
        yield from _environment(path, node, parent)


def _environment(path: str, node: ast.expr, parent: ast.AST | None) -> Iterator[Finding]:
    """One variable at a time, and only those that steer libraries."""
    asked: list[ast.expr | None] = []  # the variables' names
    call = parent if isinstance(parent, ast.Call) and parent.func is node else None
    if call and path in ONE_VARIABLE:
        asked += call.args[:1]
    elif call and path == "os.environ.update":
        asked += [key for given in call.args if isinstance(given, ast.Dict) for key in given.keys]
        asked += [ast.Constant(keyword.arg) for keyword in call.keywords]
    elif path == "os.environ" and isinstance(parent, ast.Subscript) and parent.value is node:
        asked.append(parent.slice)
    elif path == "os.environ" and isinstance(parent, ast.Compare) and parent.left is not node:
        asked.append(parent.left)
    elif path not in ONE_VARIABLE and not isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
        yield _finding(node.lineno, f"uses {_short(path)} as a whole", AROUND)
    for name in map(text_of, asked):
        if name is not None and name.startswith("AUTORESEARCH_"):
            yield Finding(node.lineno, f"asks for {_short(name)}: {INSIDES.why}", "seed and limits are in run")
        elif name is not None and not VARIABLES.match(name):
            yield _finding(node.lineno, f"asks for the variable {_short(name)}", AROUND)


def _attributes(node: ast.AST, names: Names) -> Iterator[Finding]:
    """Attributes that no experiment needs, however they are spelt."""
    for owner, name in _spelt(node):
        is_special = name.startswith("__")
        if name in ATTRIBUTES and (is_special or not names.is_own(owner, name)):
            yield _finding(owner.lineno, f"uses {'' if is_special else '.'}{name}", ATTRIBUTES[name])


def _spelt(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Attributes that a node names, each with what it is taken of."""
    if isinstance(node, ast.Call) and last(node.func) in SPELLERS:
        for text in map(text_of, node.args[:2]):
            yield from ((node.args[0], name) for name in (text or "").split("."))
    elif taken := step(node):
        yield taken
    elif isinstance(node, ast.Name) and node.id.startswith("__"):
        yield node, node.id
    elif isinstance(node, ast.Subscript) and (name := text_of(node.slice)) and name.startswith("__"):
        yield node, name  # globals()["__builtins__"]


def _patches(node: ast.AST, names: Names) -> Iterator[Finding]:
    """Something assigned into a module that was imported, or into one of its classes."""
    if not isinstance(node, ast.expr):
        return
    taken = step(node) if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) else None
    if isinstance(node, ast.Call) and last(node.func) in ("setattr", "delattr") and len(node.args) > 1:
        taken = node.args[0], text_of(node.args[1]) or "?"
    path = names.path(taken[0]) if taken else None
    if taken is None or path is None or path.startswith("builtins."):
        return
    if path.startswith("torch.backends") or SETTINGS & set(path.split(".")):
        return
    if (path, taken[1]) == ("os", "environ") and isinstance(names.parent.get(node), ast.AugAssign):
        return  # os.environ |= {…}
    reason = INSIDES if path.startswith("prepare") else PATCHES
    yield _finding(node.lineno, f"assigns to {_short(f'{path}.{taken[1]}')}", reason)


def _data(node: ast.AST, names: Names) -> Iterator[Finding]:
    if not isinstance(node, (ast.Constant, *COLLECTIONS)):
        return
    parent, size = names.parent.get(node), ""
    if isinstance(node, ast.Constant):
        value, unread = node.value, isinstance(parent, ast.Expr) and not names.reads_docs
        if isinstance(value, (str, bytes)) and len(value) > LITERAL_MOST and not (unread or _is_prose(value)):
            size = f"{len(value):,} characters"
        elif isinstance(value, int) and value.bit_length() > 4 * LITERAL_MOST:
            size = f"{value.bit_length():,} bits"
    elif not isinstance(parent, COLLECTIONS):  # the outermost
        inside = (part for part in ast.walk(node) if isinstance(part, COLLECTIONS))
        count = sum(len(part.values if isinstance(part, ast.Dict) else part.elts) for part in inside)
        size = f"{count:,} elements" if count > ELEMENTS_MOST else ""
    if size:
        yield _finding(node.lineno, f"holds a literal of {size}", DATA)


def _is_prose(text: str | bytes) -> bool:
    """Whether a text reads like words or the source of a kernel: short words, few digits."""
    if isinstance(text, bytes):
        return False
    short = len(text) <= PROSE_MOST and max(map(len, text.split()), default=0) <= 80
    return short and 10 * sum(map(str.isdigit, text)) <= len(text)


RULES = (_imports, _references, _attributes, _patches, _data)
