"""GGUF files: their metadata and tensors."""

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
    """An open GGUF file.

    Attributes:
        metadata: The file's keys and values.
        tensors: As they are stored, quantised or not; their data is read on access.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Sequence[ReaderTensor]

    def get(self, key: str) -> Any:
        """Return the metadata value of a key.

        Raises:
            DataError: The key is missing.
        """
        if key not in self.metadata:
            raise DataError(f"{self.path}: {key} is missing; get a file that llama.cpp's converter wrote")
        return self.metadata[key]


def read(path: Path) -> GgufFile:
    """Open a GGUF file.

    Raises:
        DataError: It is no GGUF file, or it is damaged.
    """
    from gguf import GGUFReader  # an optional package

    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: not a usable GGUF file ({str(error).splitlines()[0]}); get it again") from None
    return GgufFile(path, {key: field.contents() for key, field in reader.fields.items()}, reader.tensors)
