"""Encoded rows on disk, by what they are made of, so that no command tokenises them again.

A folder for each encoder (tokenizer, template, lengths, versions of the libraries) holds files of
rows that came together. Each is written beside and renamed, under a name made from its content, so
that processes that write at the same time do not harm each other, and carries a checksum: what is
damaged is deleted and made again. Nothing here may stop a run: what cannot be read or written is
worked out anew. The oldest files go when all together weigh too much.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from onsa.data.example import Example
from onsa.files import write_beside

MOST_BYTES = 1_000_000_000  # of all encoders together
KEY_BYTES = 16
Arrays = dict[str, NDArray[np.generic]]


class Row(NamedTuple):
    """Token ids, which of them are trained, and how many tokens the length limit cut off."""

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    lost_tokens: int
    cut_tokens: int


class TokenCache:
    """The encoded rows of one encoder below `root`; `digest` stands for the encoder."""

    def __init__(self, root: Path, digest: str, most_bytes: int = MOST_BYTES) -> None:
        self.root = root
        self.folder = root / digest[:32]
        self.most_bytes = most_bytes

    @staticmethod
    def key(example: Example) -> bytes:
        """What stands for a row: the same for the same conversation, wherever it comes from."""
        tools = example.extra.get("tools")
        text = json.dumps([example.messages, example.only_last, tools], ensure_ascii=False)
        content = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()

    def find(self, keys: Collection[bytes]) -> dict[bytes, Row]:
        """Those of the rows that are known."""
        wanted, found = set(keys), dict[bytes, Row]()
        for path in sorted(self.folder.glob("*.safetensors")):
            if not wanted:
                break
            try:
                rows = _read(path, wanted)
            except (SafetensorError, OSError, ValueError, KeyError, IndexError, TypeError):
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            if rows:
                found |= rows
                wanted -= rows.keys()
                with contextlib.suppress(OSError):
                    os.utime(path)  # used: others go first
        return found

    def keep(self, rows: Mapping[bytes, Row]) -> None:
        """Keep rows for later processes; a folder that cannot be written keeps nothing."""
        if not rows:
            return
        arrays = _arrays(rows)
        checksum = _checksum(arrays)
        with contextlib.suppress(OSError, SafetensorError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # people's texts
            with write_beside(self.folder / f"{checksum}.safetensors") as beside:
                save_file(arrays, beside, metadata={"checksum": checksum})
            self._make_room()

    def _make_room(self) -> None:
        """Delete what was not used for longest until the rest fits."""
        files = [(path, path.stat()) for path in self.root.glob("*/*.safetensors")]
        files.sort(key=lambda file: file[1].st_mtime, reverse=True)
        total = 0
        for path, facts in files:
            total += facts.st_size
            if total > self.most_bytes:
                path.unlink(missing_ok=True)


def _arrays(rows: Mapping[bytes, Row]) -> Arrays:
    lengths = [len(row.ids) for row in rows.values()]
    trained = np.concatenate([row.trained for row in rows.values()])
    return {
        "keys": np.frombuffer(b"".join(rows), dtype=np.uint8),
        "ends": np.cumsum(lengths, dtype=np.int64),
        "ids": np.concatenate([row.ids for row in rows.values()]),
        "trained": np.packbits(trained),
        "lost": np.array([row.lost_tokens for row in rows.values()], dtype=np.int32),
        "cut": np.array([row.cut_tokens for row in rows.values()], dtype=np.int32),
    }


def _checksum(arrays: Arrays) -> str:
    total = hashlib.blake2b(digest_size=20)
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return total.hexdigest()


def _read(path: Path, wanted: Collection[bytes]) -> dict[bytes, Row]:
    """The wanted rows of one file.

    Raises:
        ValueError: the content is not what was written.
    """
    with safe_open(path, framework="numpy") as file:
        # All keys are looked at, of the rest nothing is read where none of them is wanted.
        if not any(key in wanted for key in _split(file.get_tensor("keys"))):
            return {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if file.metadata()["checksum"] != _checksum(arrays):
            raise ValueError("damaged")
    ends = arrays["ends"].tolist()
    trained = np.unpackbits(arrays["trained"], count=ends[-1]).astype(bool)
    found = {}
    for number, key in enumerate(_split(arrays["keys"])):
        if key in wanted:
            place = slice(ends[number - 1] if number else 0, ends[number])
            lost, cut = int(arrays["lost"][number]), int(arrays["cut"][number])
            found[key] = Row(arrays["ids"][place], trained[place], lost, cut)
    return found


def _split(keys: NDArray[np.uint8]) -> Iterator[bytes]:
    content = keys.tobytes()
    return (content[at : at + KEY_BYTES] for at in range(0, len(content), KEY_BYTES))
