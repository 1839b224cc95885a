"""
From text to tokens: the documents, their splits, the tokenizer, and the token files that training reads.

Used once, by prepare.py. Documents come from ClimbMix on the Hugging Face hub, from the sample in data/, or
from a folder of the user's own. Each belongs to one of three splits for good: `train` is what experiments
learn from, `val` is what they are scored on, and `heldout` is seen by none of them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "val", "heldout")
BOS_TOKEN = "<|bos|>"  # begins every document and every row; never scored
# Words, numbers of at most two digits, punctuation, white space. GPT-4's pattern with {1,2} digits instead of
# {1,3}, which small vocabularies use better (nanochat).
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
TOKENIZER_CHARACTERS = 1_000_000_000  # of the training split at most
TOKENIZER_DOCUMENT_CHARACTERS = 10_000  # of one document at most, so that no single one dominates

CLIMBMIX = "karpathy/climbmix-400b-shuffle"
CLIMBMIX_VALIDATION_SHARD = 6542  # the last one: the reference's validation shard
CLIMBMIX_HELDOUT_SHARD = 6541  # seen by no experiment; only for the final, honest comparison
CLIMBMIX_SHARDS = 12  # some 650M tokens; an H100 reads about 500M in five minutes
SPAN_BYTES = 4_000_000  # of a .jsonl or .txt file that are tokenized as one piece
TXT_DOCUMENT_CHARACTERS = 4_000  # a .txt file is cut at blank lines into documents of about this size


class DataError(Exception):
    """Something is wrong with the data or the set-up. The message is one line: what, where, what to do."""


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes a file so that a kill at any moment leaves the old one or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------
# Text: where documents come from, and which split each belongs to


@dataclass(frozen=True)
class Unit:
    """A piece of one file that is read and tokenized at a time."""

    path: str
    part: int  # row group of a .parquet, first byte of a .jsonl or .txt span
    split: str | None  # None: decided for each document by its hash


@dataclass(frozen=True)
class Corpus:
    name: str
    identity: str  # hash of what the text is: the same identity, the same tokens
    units: tuple[Unit, ...]


def open_corpus(source: str, shards: int, cache: Path) -> Corpus:
    """`climbmix` (kept under `cache`), `sample`, or the path of a folder of the user's own text."""
    if source == "climbmix":
        return climbmix_corpus(shards, cache / "climbmix")
    if source == "sample":
        roles = ("train", "train", "train", "val", "heldout")
        paths = [Path(__file__).parent / "data" / "sample" / f"shard_{i:05d}.parquet" for i in range(len(roles))]
        identity = hashlib.sha256("".join(hash_shard(path) for path in paths).encode()).hexdigest()
        units = [u for path, role in zip(paths, roles, strict=True) for u in parquet_units(path, role)]
        return Corpus("sample", identity, tuple(units))
    folder = Path(source).expanduser().resolve()
    if not folder.is_dir():
        raise DataError(f"source {source!r} is neither climbmix nor sample nor a folder: check the path")
    return folder_corpus(folder)


def hash_shard(path: Path) -> str:
    if not path.exists():
        raise DataError(f"{path} is missing: restore it (git checkout -- {path.name}) or fetch it again")
    return file_sha256(path)


def parquet_units(path: Path, split: str | None) -> list[Unit]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is no readable parquet file ({reason}): remove or fetch it again") from None
    if "text" not in file.schema_arrow.names:
        raise DataError(f"{path} has no column `text`: rename the column that holds the documents")
    kind = file.schema_arrow.field("text").type
    if str(kind) not in ("string", "large_string", "string_view"):
        raise DataError(f"{path}: the column `text` holds {kind}, not strings: convert it")
    return [Unit(str(path), group, split) for group in range(file.num_row_groups)]


def folder_corpus(folder: Path) -> Corpus:
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".parquet", ".jsonl", ".txt") and p.is_file())
    units: list[Unit] = []
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder)} {file_sha256(path)}\n".encode())
        if path.suffix == ".parquet":
            units += parquet_units(path, None)
        else:
            units += [Unit(str(path), start, None) for start in range(0, path.stat().st_size, SPAN_BYTES)]
    if not units:
        raise DataError(
            f"{folder} holds no text: put .parquet (column `text`), .jsonl (key `text`) or .txt there"
        )
    return Corpus(folder.name, digest.hexdigest(), tuple(units))


def climbmix_corpus(shards: int, folder: Path) -> Corpus:
    """Downloads what is missing, several shards at a time. The revision is resolved once and then pinned."""
    from huggingface_hub import HfApi, hf_hub_download
    from tqdm import tqdm

    if not 1 <= shards < CLIMBMIX_HELDOUT_SHARD:
        raise DataError(f"--shards {shards} is out of range: 1 to {CLIMBMIX_HELDOUT_SHARD - 1}")
    folder.mkdir(parents=True, exist_ok=True)
    pin = folder / "revision.json"
    if not pin.exists():
        try:
            revision = HfApi().dataset_info(CLIMBMIX, timeout=30).sha
        except Exception as error:
            raise DataError(
                f"cannot reach {CLIMBMIX} ({first_line(error)}): check the network, or use --source sample"
            ) from None
        write_whole(pin, json.dumps({"repository": CLIMBMIX, "revision": revision}))
    revision = json.loads(pin.read_text())["revision"]

    def fetch(index: int) -> Path:
        name = f"shard_{index:05d}.parquet"
        path = folder / name
        if not path.exists():  # hf_hub_download resumes a partial file and moves a whole one into place
            hf_hub_download(CLIMBMIX, name, repo_type="dataset", revision=revision, local_dir=folder)
        try:
            parquet_units(path, None)
        except DataError:
            path.unlink(missing_ok=True)  # truncated or corrupt: the next call fetches it anew
            raise
        return path

    wanted = dict.fromkeys(range(shards), "train")
    wanted |= {CLIMBMIX_VALIDATION_SHARD: "val", CLIMBMIX_HELDOUT_SHARD: "heldout"}
    paths: dict[int, Path] = {}
    failed: dict[int, str] = {}
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # one bar for all, instead of one each
    with ThreadPoolExecutor(8) as pool, tqdm(total=len(wanted), desc="download", unit="shard") as bar:
        futures = {pool.submit(fetch, index): index for index in wanted}
        for future in as_completed(futures):
            try:
                paths[futures[future]] = future.result()
                bar.update()
            except Exception as error:
                failed[futures[future]] = first_line(error)
    if failed:
        names = ", ".join(f"shard_{index:05d} ({reason})" for index, reason in sorted(failed.items())[:3])
        raise DataError(
            f"{len(failed)} of {len(wanted)} shards failed: {names}; the others are kept: run this again"
        )
    units = [unit for index, role in wanted.items() for unit in parquet_units(paths[index], role)]
    return Corpus("climbmix", hashlib.sha256(f"{revision} {shards}".encode()).hexdigest(), tuple(units))


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def read_unit(unit: Unit) -> Iterator[tuple[str, str]]:
    """Yields (split, text) of the documents in one piece of a file."""
    path = Path(unit.path)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        try:
            column = pq.ParquetFile(path).read_row_group(unit.part, columns=["text"]).column("text")
            texts: Iterable[str] = [text for text in column.to_pylist() if text]
        except Exception as error:
            raise DataError(f"{path}, row group {unit.part}: {first_line(error)}: fetch the file again") from None
    else:
        lines = span_lines(path, unit.part)
        texts = json_texts(path, lines) if path.suffix == ".jsonl" else txt_documents(lines)
    for text in texts:
        yield unit.split or split_of(text), text


def split_of(text: str) -> str:
    """5 % validation, 5 % held-out, by the document's hash: the same text never lands in two splits."""
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 20
    return {0: "val", 1: "heldout"}.get(bucket, "train")


def span_lines(path: Path, start: int) -> Iterator[str]:
    """The lines that begin within SPAN_BYTES after `start`."""
    with path.open("rb") as file:
        file.seek(max(0, start - 1))
        if start > 0:
            file.readline()  # the line that began in the span before
        while file.tell() < start + SPAN_BYTES:
            place = file.tell()
            line = file.readline()
            if not line:
                return
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                raise DataError(f"{path}, at byte {place}, is not UTF-8: convert it or remove it") from None


def json_texts(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for line in filter(str.strip, lines):
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}: a line is no JSON object with the key `text`, mend or remove it: {line.strip()[:60]!r}"
            ) from None
        if isinstance(text, str) and text:
            yield text.encode("utf-8", "replace").decode()  # JSON can escape half of a character


def txt_documents(lines: Iterable[str]) -> Iterator[str]:
    document: list[str] = []
    size = 0
    for line in lines:
        document.append(line)
        size += len(line)
        if not line.strip() and size >= TXT_DOCUMENT_CHARACTERS:
            yield "".join(document)
            document, size = [], 0
    if size and "".join(document).strip():
        yield "".join(document)


# ---------------------------------------------------------------------------------------------------------
# Tokenizer: byte-level BPE, trained by rustbpe, applied by tiktoken


class Tokenizer:
    """Merges are kept as JSON: the bytes of each token in order of rank. BOS is the last id."""

    def __init__(self, tokens: list[bytes], pattern: str) -> None:
        import tiktoken

        self.bos_id = len(tokens)
        self.vocab_size = len(tokens) + 1
        self.encoding = tiktoken.Encoding(
            "autoresearch",
            pat_str=pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
            special_tokens={BOS_TOKEN: self.bos_id},
        )

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        stored = json.loads(path.read_text())
        return cls([base64.b64decode(token) for token in stored["tokens"]], stored["pattern"])

    def encode(self, text: str) -> np.ndarray:
        """Token ids, uint16. Text that looks like a special token is text."""
        return self.encoding.encode_to_numpy(text, disallowed_special=()).astype(np.uint16)

    def token_bytes(self) -> np.ndarray:
        """Exact byte length of every token, int64 [vocab]; 0 for BOS. Taken from the raw bytes: decoding to
        a string first counts a piece of a UTF-8 character as the three bytes of U+FFFD."""
        single = self.encoding.decode_single_token_bytes
        return np.array([len(single(i)) for i in range(self.bos_id)] + [0], dtype=np.int64)


def train_tokenizer(corpus: Corpus, vocab_size: int, path: Path) -> Tokenizer:
    """Trains on the training split; reuses what is there if it was trained on exactly this."""
    wanted = [corpus.identity, vocab_size, SPLIT_PATTERN, TOKENIZER_CHARACTERS, TOKENIZER_DOCUMENT_CHARACTERS]
    trained_on = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
    if path.exists():
        with contextlib.suppress(ValueError, KeyError):
            if json.loads(path.read_text())["trained_on"] == trained_on:
                return Tokenizer.load(path)
        print("tokenizer: the one that is here was trained on something else; training it anew")
    import rustbpe

    def texts() -> Iterator[str]:
        characters = 0
        for unit in corpus.units:
            if unit.split in ("train", None):
                for split, text in read_unit(unit):
                    if split == "train":
                        characters += min(len(text), TOKENIZER_DOCUMENT_CHARACTERS)
                        yield text[:TOKENIZER_DOCUMENT_CHARACTERS]
                    if characters >= TOKENIZER_CHARACTERS:
                        return

    started = time.monotonic()
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(texts(), vocab_size - 1, pattern=SPLIT_PATTERN)  # BOS makes it vocab_size
    tokens = [bytes(token) for token, _ in sorted(trainer.get_mergeable_ranks(), key=lambda pair: pair[1])]
    encoded = [base64.b64encode(token).decode() for token in tokens]
    write_whole(path, json.dumps({"trained_on": trained_on, "pattern": SPLIT_PATTERN, "tokens": encoded}))
    print(f"tokenizer: {len(tokens) + 1} tokens, trained in {time.monotonic() - started:.1f} s")
    return Tokenizer(tokens, SPLIT_PATTERN)


# ---------------------------------------------------------------------------------------------------------
# Token files: every document's ids, one after the other, and where each begins


_tokenizer: Tokenizer | None = None  # of a worker process


def _start_worker(path: str) -> None:
    global _tokenizer
    _tokenizer = Tokenizer.load(Path(path))


def _tokenize_unit(unit: Unit) -> dict[str, tuple[np.ndarray, list[int], int]]:
    """Per split: ids of all its documents, their lengths, and the bytes of text."""
    assert _tokenizer is not None
    pieces: dict[str, tuple[list[np.ndarray], int]] = {}
    for split, text in read_unit(unit):
        ids = _tokenizer.encode(text)
        arrays, size = pieces.get(split, ([], 0))
        arrays.append(ids)
        pieces[split] = (arrays, size + len(text.encode()))
    return {split: (np.concatenate(a), [len(x) for x in a], size) for split, (a, size) in pieces.items()}


class SplitFiles:
    """`<split>.tokens` and `<split>.offsets` on their way: under temporary names until all are whole.

    They are written as the tokens come, so memory does not grow with the text."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.names = (f"{split}.tokens", f"{split}.offsets")
        self.files = [(folder / f".{name}").open("wb") for name in self.names]
        self.documents = self.tokens = self.bytes = 0
        self.digest = hashlib.sha256()
        self.files[1].write(np.zeros(1, np.int64).tobytes())  # the first document begins at 0

    def add(self, ids: np.ndarray, lengths: list[int], size: int) -> None:
        """Documents of `lengths` tokens, one after the other in `ids`, uint16, and the bytes of their text."""
        data = ids.tobytes()
        self.files[0].write(data)
        self.digest.update(data)
        self.files[1].write((self.tokens + np.cumsum(lengths, dtype=np.int64)).tobytes())
        self.documents += len(lengths)
        self.tokens += len(ids)
        self.bytes += size

    def finish(self) -> dict[str, Any]:
        """Puts the files in their places; returns documents, tokens, bytes and hash."""
        for file in self.files:
            file.flush()
            os.fsync(file.fileno())
        for name in reversed(self.names):
            (self.folder / f".{name}").replace(self.folder / name)
        counts = {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes}
        return {**counts, "sha256": self.digest.hexdigest()}

    def close(self) -> None:
        for file, name in zip(self.files, self.names, strict=True):
            file.close()
            (self.folder / f".{name}").unlink(missing_ok=True)  # half done, it would only fill the disk


def tokenize(corpus: Corpus, folder: Path) -> dict[str, dict[str, Any]]:
    """Writes `<split>.tokens` and `<split>.offsets`; returns documents, tokens, bytes and hash of each split."""
    from tqdm import tqdm

    workers = max(1, min(os.cpu_count() or 1, len(corpus.units), 64))
    with contextlib.ExitStack() as stack:
        splits = {split: SplitFiles(folder, split) for split in SPLITS}
        for files in splits.values():
            stack.callback(files.close)
        pool = stack.enter_context(
            ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(str(folder / "tokenizer.json"),))
        )
        stack.callback(pool.shutdown, cancel_futures=True)  # a failure does not wait for the rest
        results = in_order(pool, _tokenize_unit, corpus.units, ahead=2 * workers)
        for result in tqdm(results, total=len(corpus.units), desc="tokenize", unit="part"):
            for split, part in result.items():
                splits[split].add(*part)
        return {split: files.finish() for split, files in splits.items()}


def in_order(pool: Executor, function: Callable[[Any], Any], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    """As pool.map, but with `ahead` items at most under way: what is done early waits in memory."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        if len(waiting) == ahead:
            yield waiting.popleft().result()
        waiting.append(pool.submit(function, item))
    while waiting:
        yield waiting.popleft().result()


def check_splits(splits: dict[str, dict[str, Any]], sequence_length: int, source: str) -> None:
    """Raises DataError where a split is too small for a row."""
    for split in SPLITS:
        if splits[split]["tokens"] <= sequence_length:
            raise DataError(
                f"{source} gives {splits[split]['documents']} documents and {splits[split]['tokens']} tokens for "
                f"the {split} split, which needs more than {sequence_length}: add more documents"
            )
