"""Packing by looking at every document of a buffer for each placement: how the reference's loader does it.

Written afresh from its description (karpathy/autoresearch, prepare.py): a buffer of at least 1,000 tokenized
documents, as lists of numbers; for each place in a row the longest that still fits is looked for from first to
last; if none fits, the shortest is cut to what is left, and its rest thrown away. Then the rows become an array.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BUFFER = 1000  # documents at least


class ScanPacker:
    """Rows of `width` tokens from an endless stream of documents, each a list that begins with BOS."""

    def __init__(self, documents: Iterator[list[int]], width: int) -> None:
        self.documents, self.width = documents, width
        self.buffer: list[list[int]] = []
        self.drawn = self.lost = 0  # tokens

    def batch(self, rows: int) -> np.ndarray:
        """int64 [rows, width]."""
        return np.array([self.row() for _ in range(rows)], dtype=np.int64)

    def row(self) -> list[int]:
        row: list[int] = []
        while len(row) < self.width:
            while len(self.buffer) < BUFFER:
                document = next(self.documents)
                self.drawn += len(document)
                self.buffer.append(document)
            room, best, best_length = self.width - len(row), -1, 0
            for index, document in enumerate(self.buffer):
                if best_length < len(document) <= room:
                    best, best_length = index, len(document)
            if best >= 0:
                row.extend(self.buffer.pop(best))
            else:
                shortest = min(range(len(self.buffer)), key=lambda index: len(self.buffer[index]))
                document = self.buffer.pop(shortest)
                row.extend(document[:room])
                self.lost += len(document) - room
        return row
