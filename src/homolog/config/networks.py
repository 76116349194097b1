"""Which networks can be read that others made, on what, and which files are they?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from homolog.config.base import Count, FilePath, Grid, Options, Reference, Several, which_form
from homolog.config.corpora import Corpus
from homolog.networks.files import checkpoint_folder, module_file, weight_shapes

# A list of names of modules, or a mapping from names of one's own.
HookPoints: TypeAlias = Annotated[
    Annotated[dict[Reference, Reference], Field(min_length=1), Tag("value")]
    | Annotated[Several[Reference], Tag("list")],
    Discriminator(which_form),
]


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
        module = module_file(self.python.partition(":")[0])
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
        """Of weights that only the function knows nothing is told."""
        return {}


class TransformersNetwork(Options):
    """A model of Hugging Face transformers, which `pip install 'homolog[transformers]'` brings."""

    transformers: Grid[FilePath]
    """A folder, package:<distribution>/<folder> of an installed package, or a name among the models that were
    downloaded before; {seed} or {step} is filled in. Or one for each run, in order."""
    revision: Grid[FilePath] | None = None
    """Commit, tag or branch of a downloaded model, with {seed} or {step} filled in; or one for each run, in order."""
    kind: Reference | None = None
    """Class of transformers, such as AutoModel; null means the one that it was saved as."""

    def spec(self, number: int) -> dict[str, Any]:
        """How the network of a run is made."""
        return {
            "target": "homolog.networks.network:from_transformers",
            **dict(zip(("name", "revision"), self._place(number), strict=True)),
            "kind": self.kind,
        }

    def inputs(self, number: int) -> list[str]:
        """The files that a run's network is made of: its configuration and weights; none where it isn't found."""
        folder = checkpoint_folder(*self._place(number))
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
        return weight_shapes(folder) if folder else {}

    def _place(self, number: int) -> tuple[str, str | None]:
        """Name and revision of a run's checkpoint."""
        return _one(self.transformers, number), None if self.revision is None else _one(self.revision, number)


NetworkSource: TypeAlias = Annotated[
    Annotated[PythonNetwork, Tag("PythonNetwork")] | Annotated[TransformersNetwork, Tag("TransformersNetwork")],
    Discriminator(lambda value: _which_source(value)),
]


class ReadingOptions(Options):
    """Which hook points of such a network are read, and how rows are stored."""

    hook_points: HookPoints = Field(default=[])
    """Names of modules, by which results go; or a mapping from names of your own to hook points of any form, such as
    {block_3: "transformer.h.3:out[0]"}. `python -m homolog hook-points <model>` lists them."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format in the file; a value that float16 can't hold is an error, never an infinity."""
    precision: Literal["float32", "bfloat16"] | None = None
    """In which products are computed; null means bfloat16 on a GPU that has it, and float32 elsewhere."""
    batch_size: Count | None = None
    """Inputs of a forward pass; null finds how many: about 2,048 positions on a CPU, on a GPU 16,384 or what fits."""

    def named(self) -> dict[str, str]:
        """Hook points by the names that results go by."""
        points = self.hook_points
        return dict(points) if isinstance(points, dict) else {point: point for point in points}


class NetworkModel(Options):
    """A network that others made, read here on a corpus; its runs are checkpoints: seeds, or steps of training."""

    network: NetworkSource
    """Where it comes from."""
    data: Corpus
    """What it is fed, equal for all runs."""
    activations: ReadingOptions = ReadingOptions()
    """What is recorded."""

    @property
    def hook_points(self) -> list[str]:
        """The names of what is recorded."""
        return list(self.activations.named())

    @property
    def listed(self) -> int | None:
        """How many runs there are, where they are listed."""
        source = self.network
        lists = [source.transformers, source.revision] if isinstance(source, TransformersNetwork) else []
        counts = [len(one) for one in lists if isinstance(one, list)]
        return min(counts) if counts else None


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
