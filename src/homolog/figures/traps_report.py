"""What the traps found, as text and tables: every measure in every world, and how many repetitions stand behind it."""

from __future__ import annotations

from textwrap import fill

import pandas as pd
import xarray as xr

VALUES = ("fdr", "power", "called")
MEASURES = {
    "score": "score: codes",
    "jaccard": "jaccard: when both fire",
    "neuron": "neuron: directions",
    "encoder": "encoder rows",
    "neuron_permuted": "neuron, permuted",
    "neuron_procrustes": "neuron, rotated",
    "workflow_score": "score",
    "workflow_write_out": "write-out",
    "workflow_read_in": "read-in",
    "workflow_effect": "effect",
    "workflow_neuron": "neuron",
    "cosine": "cosine above 0.7",
    "cosine_with_dead": "the same, dead latents counted",
    "cosine_by_order": "cosine above 0.7, latent i with i",
    "shared_fraction": "encoder and decoder above 0.7",
    "isotropic_null": "cosine against isotropic directions",
    "correlation": "correlation above 0.7",
    "correlation_test": "p < 5 % of the correlation",
    "mmcs": "MMCS above 0.7",
    "pw_mcc": "PW-MCC above 0.7",
    "cka": "CKA of the codes above 0.7",
    "cca": "mean CCA of the codes above 0.7",
    "procrustes": "Procrustes of the codes above 0.7",
}
WORLDS = {
    "independent": "random dictionaries",
    "power_law": "Gaussian with falling spectrum",
    "dead": "dead latents at a shared start",
    "duplicates": "one direction in 12 copies",
    "degenerate": "equal singular values",
    "outlier": "one outlier row",
    "few_rows": "4 rows per unit",
    "untrained": "untrained networks",
    "one_network": "a random ReLU network",
    "redrawn": "the same, layer redrawn",
    "square": "points of a square",
    "disc": "points of a disc",
    "gaussian": "one Gaussian",
    "gaussians": "a dozen Gaussians",
    "shared_start": "a shared start, hardly left",
    "gaussians_featureless": "a dozen Gaussians, if clusters don't count",
    "planted": "half of the latents shared",
    "gauges": "one network in two gauges",
}


def pages(dataset: xr.Dataset) -> list[xr.Dataset]:
    """One page, and a hook point that stands for none."""
    return [dataset.assign_coords(hook_point="none")]


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """A row for each world and measure that is defined there."""
    names = [name + end for name in VALUES for end in ("", "_low", "_high")]
    frame = dataset[["repetitions", *names]].to_dataframe().reset_index().dropna(subset=["called"])
    order = {"world": list(dataset.world.values), "measure": list(dataset.measure.values)}
    for name, values in order.items():
        frame[name] = pd.Categorical(frame[name], values)
    first = ["group", "world", "kind", "measure", "repetitions"]
    return frame.sort_values(["world", "measure"])[[*first, *names]]


def runs_table(dataset: xr.Dataset) -> pd.DataFrame:
    """No runs but worlds, and what each is made of."""
    return dataset[["rows", "latents", "warned", "fvu"]].to_dataframe().reset_index()


def summary(dataset: xr.Dataset, headline: str) -> str:
    """The answer in words, then the rates, for a reader with a terminal."""
    level = float(dataset.attrs["level"])
    parts = ["\n\n".join(fill(paragraph, 100) for paragraph in headline.split("\n\n")), ""]
    for name, title in (
        ("fdr", f"False discovery rate in %, with one-sided 95 % bounds (nominal {100 * level:g} %)"),
        ("power", "Share of what is stable that is found, in %, with one-sided 95 % bounds"),
    ):
        parts.append(title)
        for world in dataset.world.values:
            here = dataset.sel(world=world)
            known = [str(measure) for measure in here.measure.values[here[name].notnull().values]]
            if known:
                parts.append(f"\n{WORLDS[str(world)]} ({world})")
            for measure in known:
                low, value, high = (100 * float(here[name + end].sel(measure=measure)) for end in ("_low", "", "_high"))
                count, says = int(here.repetitions.sel(measure=measure)), MEASURES[measure]
                if here.kind.sel(measure=measure) == "workflow":
                    says = f"workflow: {says}"
                parts.append(f"  {says:40s}{value:6.1f} [{low:5.1f}, {high:5.1f}] of {count:,} repetitions")
        parts.append("")
    names = ["stable", "true", "true_if_stable", "true_if_not"]
    shown = dataset[[name + end for name in names for end in ("", "_low", "_high")]].to_dataframe()
    parts += [
        f"Autoencoders with so many active latents, where {int(dataset.attrs['true_l0'])} features are active:",
        (100 * shown).to_string(float_format="{:z.0f}".format, na_rep="-"),
    ]
    return "\n".join(parts) + "\n"
