"""A GGUF file as it lies on disk: its metadata by key, and its tensors, which are read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dopr.files import DataError

if TYPE_CHECKING:
    from gguf import ReaderTensor


@dataclass(frozen=True)
class GgufFile:
    """metadata: the file's keys and values. tensors: as they are stored, quantised or not."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Sequence[ReaderTensor]

    def get(self, key: str) -> Any:
        """The value of a key.

        Raises:
            DataError: the file has none; names the key.
        """
        if key not in self.metadata:
            raise DataError(f"{self.path}: {key} is missing; get a file that llama.cpp's converter wrote")
        return self.metadata[key]


def read(path: Path) -> GgufFile:
    """Open a file.

    Raises:
        DataError: it is no GGUF file, or a damaged one.
    """
    from gguf import GGUFReader  # an optional package

    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: not a usable GGUF file ({str(error).splitlines()[0]}); get it again") from None
    return GgufFile(path, {key: field.contents() for key, field in reader.fields.items()}, reader.tensors)
