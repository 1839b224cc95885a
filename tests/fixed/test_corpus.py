"""Text in, tokens out: sources, splits, the tokenizer, and what is said of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
import prepare
from corpus import SPLITS, Corpus, DataError, Tokenizer, open_corpus, read_unit, split_of, train_tokenizer
from feeder import TokenStore
from tests.fixed.conftest import ROOT, TINY


def texts_of(opened: Corpus) -> list[tuple[str, str]]:
    return [pair for unit in opened.units for pair in read_unit(unit)]


@pytest.fixture(scope="session")
def tokenizer(tiny: Path) -> Tokenizer:
    return Tokenizer.load(tiny / "tokenizer.json")


@given(text=st.text(max_size=200))
@settings(max_examples=200)
def test_token_bytes_add_up_to_the_text(tokenizer, text):
    text = text.encode("utf-8", "replace").decode()  # lone surrogates are no text
    ids = tokenizer.encode(text)
    assert tokenizer.token_bytes()[ids].sum() == len(text.encode())
    assert tokenizer.encoding.decode_bytes(ids.tolist()) == text.encode()


def test_text_that_looks_like_bos_is_text(tokenizer):
    assert tokenizer.bos_id not in tokenizer.encode(f"a {corpus.BOS_TOKEN} b")
    assert tokenizer.token_bytes()[tokenizer.bos_id] == 0


def test_the_three_kinds_of_files_give_their_documents(tmp_path, documents):
    wanted = {text for text in documents[:30] if text}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in documents[:10]))
    pq.write_table(pa.table({"text": documents[10:30]}), tmp_path / "b.parquet", row_group_size=7)
    long = "one paragraph\n\n" + "x" * 5000 + "\n\n"
    (tmp_path / "c.txt").write_text(long + "another\n")
    found = texts_of(open_corpus(str(tmp_path), 1, tmp_path))
    assert wanted <= {text for _, text in found}
    assert [text for _, text in found if text not in wanted] == [long, "another\n"]
    assert all(split == split_of(text) for split, text in found)


@pytest.mark.parametrize("span", [1, 7, 64, 1000])
def test_spans_lose_no_line(tmp_path, monkeypatch, documents, span):
    monkeypatch.setattr(corpus, "SPAN_BYTES", span)
    lines = [json.dumps({"text": f"{i} {'y' * (i % 13)}"}) for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = [text for _, text in texts_of(open_corpus(str(tmp_path), 1, tmp_path))]
    assert found == [json.loads(line)["text"] for line in lines]


def test_splits_are_by_content_and_about_five_percent():
    splits = [split_of(f"document {i}") for i in range(4000)]
    assert splits == [split_of(f"document {i}") for i in range(4000)]
    for split in ("val", "heldout"):
        assert 0.03 < splits.count(split) / len(splits) < 0.07


def test_sample_keeps_its_pinned_shards(tmp_path):
    opened = open_corpus("sample", 1, tmp_path)
    assert {Path(u.path).name: u.split for u in opened.units if u.split != "train"} == {
        "shard_00003.parquet": "val",
        "shard_00004.parquet": "heldout",
    }


BAD_FOLDERS = {
    "no text": ({}, "holds no text"),
    "broken UTF-8": ({"a.txt": b"fine\n\xff\xfe broken\n"}, "is not UTF-8"),
    "not JSON": ({"a.jsonl": b'{"text": "x"}\nnonsense\n'}, "key `text`"),
    "wrong key": ({"a.jsonl": b'{"body": "x"}\n'}, "key `text`"),
    "half a character": ({"a.jsonl": b'{"text": "\\ud800"}\n'}, "add more documents"),
    "corrupt parquet": ({"a.parquet": b"PAR1 this is no parquet file"}, "no readable parquet"),
    "one document": ({"a.txt": b"A single short document.\n"}, "add more documents"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folders_are_one_line_and_exit_2(tmp_path, case):
    files, said = BAD_FOLDERS[case]
    source = tmp_path / "text"
    source.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    done = run_prepare("--profile", "small", "--source", str(source), cache=tmp_path / "cache")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("prepare: ") and said in last
    assert "Traceback" not in done.stderr


def run_prepare(*arguments: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "AUTORESEARCH_PREPARATION"}
    return subprocess.run(
        [sys.executable, "prepare.py", *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**inherited, "AUTORESEARCH_CACHE": str(cache), **environment},
    )  # fmt: skip


def test_a_text_column_that_holds_no_text_is_named(tmp_path):
    pq.write_table(pa.table({"text": [1, 2, 3]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds int64, not strings"):
        open_corpus(str(tmp_path), 1, tmp_path)


def test_unknown_profile_source_and_missing_data(tmp_path):
    for arguments, said in (
        (["--profile", "huge"], "profile 'huge' is unknown"),
        (["--profile", "small", "--source", "nowhere"], "neither climbmix nor sample nor a folder"),
        (["--show"], "no data is prepared"),
    ):
        done = run_prepare(*arguments, cache=tmp_path)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
        assert said in done.stderr


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(prepare, "prepare", no_room)
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--profile", "small"])
    with pytest.raises(SystemExit) as ended:
        prepare.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("prepare: No space left on device")


def test_a_kill_is_mended_and_a_stale_tokenizer_rebuilt(tiny, tmp_path, documents, monkeypatch, capsys):
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "text"
    source.mkdir()
    (source / "a.jsonl").write_text("".join(json.dumps({"text": t[:1500]}) + "\n" for t in documents[:120]))
    folder = prepare.prepare(TINY, str(source), 1)
    whole = {name: (folder / name).read_bytes() for name in ("train.tokens", "val.offsets", "tokenizer.json")}
    (folder / "meta.json").unlink()  # as a kill before the last write leaves it
    (folder / "train.tokens").write_bytes(b"half")
    (folder / ".val.tokens").write_bytes(b"rubbish")
    assert prepare.prepare(TINY, str(source), 1) == folder
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    (folder / "train.tokens").write_bytes(b"damaged later")
    prepare.prepare(TINY, str(source), 1)
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    stored = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**stored, "trained_on": "something else"}))
    capsys.readouterr()
    train_tokenizer(open_corpus(str(source), 1, tmp_path), TINY.vocab_size, folder / "tokenizer.json")
    assert "training it anew" in capsys.readouterr().out


def test_token_files_hold_the_documents(tiny, tokenizer):
    meta = prepare.load_meta()
    for split in SPLITS:
        store = TokenStore.load(tiny, split)
        assert len(store.offsets) == meta["splits"][split]["documents"] + 1
        assert store.offsets[-1] == len(store.tokens) == meta["splits"][split]["tokens"]
        assert tokenizer.token_bytes()[np.asarray(store.tokens)].sum() == meta["splits"][split]["bytes"]


@pytest.mark.parametrize("damage", [b"", b"\0\0\0\0"])
def test_damaged_token_files_are_named(tiny, tmp_path, damage):
    for name in ("train.tokens", "train.offsets"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    (tmp_path / "train.tokens").write_bytes(damage)
    with pytest.raises(DataError, match="run prepare"):
        TokenStore.load(tmp_path, "train")


@given(items=st.lists(st.integers(), max_size=30), ahead=st.integers(1, 5))
def test_results_come_in_order_and_few_wait_in_memory(items, ahead):
    held: list[int] = []  # by the pool: submitted and not taken yet
    most = [0]

    class Pool(Executor):
        def submit(self, function, /, *items, **_):
            (item,) = items
            held.append(item)
            most[0] = max(most[0], len(held))
            future: Future[int] = Future()
            future.set_result(function(item))
            return future

    taken = []
    for result in corpus.in_order(Pool(), lambda item: 2 * item, items, ahead):
        held.pop(0)
        taken.append(result)
    assert taken == [2 * item for item in items]
    assert most[0] <= ahead


def test_the_tokenizer_reads_no_further_than_it_learns_from(tmp_path, documents, monkeypatch):
    """A large text is not read to its end for nothing."""
    text = tmp_path / "text"
    text.mkdir()
    for number in range(6):
        lines = [json.dumps({"text": f"{number} {document[:500]}"}) for document in documents[:40]]
        (text / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    read: list[corpus.Unit] = []
    original = corpus.read_unit

    def noted(unit: corpus.Unit) -> Iterator[tuple[str, str]]:
        read.append(unit)
        return original(unit)

    monkeypatch.setattr(corpus, "read_unit", noted)
    monkeypatch.setattr(corpus, "TOKENIZER_CHARACTERS", 25_000)
    corpus.train_tokenizer(corpus.open_corpus(str(text), 1, tmp_path), 300, tmp_path / "tokenizer.json")
    assert 1 <= len(read) <= 3
