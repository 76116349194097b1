"""Inputs from a data set that Hugging Face's ``save_to_disk`` wrote: documents from a column, arrays from several."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from homolog.corpora.arrays import Arrays
from homolog.corpora.gathered import gathered
from homolog.corpora.text_source import TextSource


@dataclass(frozen=True, kw_only=True)
class SavedText(TextSource):
    """A document for each row: the text in its column `column`."""

    name: ClassVar[str] = "saved_text"
    path: str
    column: str = "text"

    @property
    def origin(self) -> str:
        return self.path

    def documents(self) -> Iterator[str]:
        for batch in record_batches(self.path, [self.column]):
            for text in batch[self.column]:
                if not isinstance(text, str):
                    raise ValueError(
                        f"{self.path}: column {self.column} holds {type(text).__name__}, but text is needed."
                    )
                yield text


@dataclass(frozen=True, kw_only=True)
class SavedArrays:
    """An input for each row: its numbers in `columns`, fed by these names, such as ``input_ids``."""

    name: ClassVar[str] = "saved_arrays"
    path: str
    columns: list[str]
    positions: int | None = None
    test_fraction: float = 0.2

    def corpus(self) -> Arrays:
        """Raises ValueError for a folder or column that isn't there, and for inputs of several shapes."""
        name = f"saved_arrays ({self.path})"
        return Arrays(gathered(record_batches(self.path, self.columns), name), name, self.test_fraction, self.positions)


def record_batches(path: str, columns: list[str]) -> Iterator[dict[str, list[Any]]]:
    """The values of some columns, block by block, as the folder's Arrow files (its state.json names them) hold them.

    Raises ValueError where pyarrow, the folder or a column isn't there.
    """
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise ValueError(
            f"{path}: pyarrow, which reads saved data sets, isn't installed: pip install 'homolog[corpora]'."
        ) from None
    for file in _arrow_files(Path(path)):
        try:
            with pyarrow.memory_map(str(file)) as mapped, pyarrow.ipc.open_stream(mapped) as reader:
                absent = [column for column in columns if column not in reader.schema.names]
                if absent:
                    raise ValueError(
                        f"{path} has no column {', '.join(absent)}; it has "
                        f"{', '.join(reader.schema.names)}: choose among these."
                    )
                for batch in reader:
                    yield {column: batch.column(column).to_pylist() for column in columns}
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise ValueError(f"{file} can't be read as an Arrow stream ({error}): save the data set again.") from error


def _arrow_files(folder: Path) -> list[Path]:
    several = folder / "dataset_dict.json"
    if several.is_file():
        names = json.loads(several.read_text()).get("splits", [])
        raise ValueError(
            f"{folder} holds several data sets, {', '.join(names)}: set `path` to one, such as {folder}/{names[0]}."
        )
    state = folder / "state.json"
    try:
        return [folder / file["filename"] for file in json.loads(state.read_text())["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} isn't a folder that save_to_disk has written: no fit state.json in it ({error!r})."
        ) from error
