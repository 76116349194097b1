"""What does each job of an experiment depend on: decomposing its runs together, comparing, tracking, drawing them?"""

from __future__ import annotations

from homolog.atlas.templating import templates_digest
from homolog.config import Config
from homolog.config.analyses import OF_ACTIVATIONS, TrapsOptions
from homolog.config.antilearning import AntilearningOptions
from homolog.config.base import Options
from homolog.config.experiments import MadeExperiment
from homolog.config.given import GivenOptions
from homolog.config.methods import LinearOptions
from homolog.config.network_models import NetworkRecipe
from homolog.config.planted import WorldsAnalysis
from homolog.config.reuse import ReuseOptions
from homolog.config.sparse_autoencoders import SparseAutoencoderOptions, TopKOptions
from homolog.planning.experiments import PlannedExperiment
from homolog.planning.groups import changes_of, groups_of, wider
from homolog.planning.run_specs import corpus, fitted, method
from homolog.planning.runs import Run, Spec, architecture, is_external, is_trained, recipe, task
from homolog.registry import (
    ANALYSES,
    ANTILEARNING_PAIRS,
    FIGURES,
    METHODS,
    REUSE_PAIRS,
    TECHNIQUES,
    VIEWS,
    WORLDS,
)

# What networks are trained for that give logits.
WITH_LOGITS = ("next_token", "label")


def decompose_jointly(config: Config, experiment: str, decomposition: str) -> Spec:
    planned, options = PlannedExperiment(config, experiment), fitted(config, decomposition)
    recipes = [recipe(config, run) for run in planned.compared]
    return {
        "runs": [str(run) for run in planned.compared],
        "task": task(recipes[0]),
        "architectures": [architecture(one) for one in recipes],
        "hook_points": planned.hook_points,
        **method(options, decomposition),
        "seeds": options.member_seeds(),
    }


def analyse(config: Config, experiment: str) -> Spec:
    planned = PlannedExperiment(config, experiment)
    analysis = planned.options.analysis
    options = analysis.model_dump(mode="json", exclude={"name", "worlds", "pairs", "recipes"})
    spec = {"experiment": experiment, "analysis": ANALYSES[analysis.name], "options": options}
    if isinstance(planned.options, MadeExperiment):
        return {**spec, **_made(config, planned.options)}
    if views := planned.options.views:
        if any(is_external(config, run) for run in planned.compared):
            views = [view for view in views if view in OF_ACTIVATIONS]
        options["views"] = [VIEWS[view] for view in views]
    return {
        **spec,
        "hook_points": planned.hook_points,
        "decompositions": [_with_start(config, key) for key in planned.decompositions],
        "gaussian": {str(run): str(run.gaussian()) for run in planned.with_gaussian},
        "gaussian_decompositions": planned.gaussian_decompositions,
        "pairs": [pair.spec() for pair in planned.pairs],
        "references": planned.references,
        "networks": _networks(planned),
        "controls": {point: [str(run) for run in runs] for point, runs in planned.controls.items()},
    }


def track(config: Config, experiment: str) -> Spec:
    planned = PlannedExperiment(config, experiment)
    options, known = planned.of_runs, config.decompositions
    fitted_here = [key for key in planned.decompositions if not isinstance(known[key], GivenOptions)]
    return {
        "experiment": experiment,
        "options": {
            **options.tracks.model_dump(mode="json"),
            **options.of_runs.model_dump(mode="json", include={"tolerance", "conditional_on", "documents"}),
        },
        "hook_points": planned.hook_points,
        "decompositions": [_named(config, key) for key in planned.decompositions],
        "joint": [_named(config, key) for key in planned.joint_decompositions],
        "runs": [str(run) for run in planned.compared],
        "groups": groups_of(planned.pairs),
        "changes": changes_of(planned.pairs),
        "wider": [pair for key in fitted_here for pair in wider(known[key], key)],
        "references": planned.references,
        "networks": _networks(planned),
    }


def plot(config: Config, experiment: str) -> Spec:
    return {"experiment": experiment, "figure": FIGURES[config.experiments[experiment].figure]}


def plot_waterfall(config: Config, experiment: str) -> Spec:
    return {"experiment": experiment}


def plot_training(config: Config, experiment: str) -> Spec:
    # Not the gauge control: its curves are its original's.
    shown = [run for run in PlannedExperiment(config, experiment).runs if not run.regauged]
    return {"experiment": experiment, "untrained": {str(run): run.is_untrained for run in shown}}


def plot_tracks(config: Config, experiment: str) -> Spec:
    return {"experiment": experiment}


def plot_crosscoder(config: Config, experiment: str) -> Spec:
    return {"experiment": experiment, "decompositions": PlannedExperiment(config, experiment).joint_decompositions}


def atlas(config: Config, experiment: str) -> Spec:
    planned = PlannedExperiment(config, experiment)
    # All runs of an experiment have read the same inputs.
    known = [recipe(config, run) for run in planned.compared if not is_external(config, run)][:1]
    pictures = [one.task.image_shape for one in known if one.task.image_shape]
    shown: Spec = {"kind": "images", "shape": list(pictures[0])} if pictures else {"kind": "numbers"}
    networks = {run: network for run in planned.compared if (network := config.network(run.source))}
    opened = {str(run): _opened(config, run, one) for run, one in networks.items() if one.objective in WITH_LOGITS}
    seen = [one for one in list(networks.values())[:1] if opened or one.data.shown != "numbers"]
    return {
        "experiment": experiment,
        "hook_points": planned.hook_points,
        "decompositions": [_named(config, key) for key in planned.decompositions],
        "task": task(known[0]) if known else None,
        "corpus": corpus(seen[0]) if seen else None,
        "shown": {"kind": seen[0].data.shown} if seen else shown,
        "within": planned.of_runs.of_runs.conditional_on,
        "networks": _networks(planned),
        "opened": opened,
        "templates": templates_digest(),
    }


def _opened(config: Config, run: Run, network: NetworkRecipe) -> Spec:
    """How the network of a run is made whose logits are looked at, and what its hook points mean."""
    return {
        "network": network.network.spec(network.number(run.seed)),
        "trained": is_trained(config, run),
        "points": network.activations.named(),
    }


def export(config: Config, experiment: str, run: Run, hook_point: str, decomposition: str) -> Spec:
    planned = PlannedExperiment(config, experiment)
    lacking = [
        f"{what} {wanted!r}, of {', '.join(known)}"
        for what, wanted, known in (
            ("run", str(run), [str(one) for one in planned.compared]),
            ("hook point", hook_point, planned.hook_points),
            ("decomposition", decomposition, planned.decompositions),
        )
        if wanted not in known
    ]
    if lacking:
        raise ValueError(
            f"export of experiment {experiment}: it compares no {'; no '.join(lacking)}: name one of these."
        )
    return {
        "experiment": experiment,
        "run": str(run),
        "hook_point": hook_point,
        "decomposition": _named(config, decomposition),
        "about": _about(config, run, hook_point),
    }


def export_tracks(config: Config, experiment: str) -> Spec:
    return {"experiment": experiment}


def _about(config: Config, run: Run, hook_point: str) -> Spec:
    """What a reader is told of a run: its network, where it is read, and what it was fed."""
    if external := config.external(run.source):
        return {"network": run.source, "module": hook_point, "activations": external.source(run.seed, hook_point)}
    if network := config.network(run.source):
        source = network.network.spec(network.number(run.seed))
        given = {key: value for key, value in source.items() if key not in ("target", "function", "name")}
        return {
            "network": source.get("function") or source.get("name"),
            "given": given,
            "module": network.activations.named()[hook_point],
            "data": network.data.model_dump(mode="json", exclude_none=True),
            "training": network.training and network.training.model_dump(mode="json"),
            "drawn anew": network.reinitialise or None,
        }
    ours = recipe(config, run)
    options = {"network": ours.architecture, "data": ours.task}
    return {"module": hook_point, **{name: one.model_dump(mode="json") for name, one in options.items()}}


def _networks(planned: PlannedExperiment) -> list[str]:
    """What analyses restore from the files of runs, which name it: its code can change what is found, too."""
    own = [run for run in planned.runs if not is_external(planned.config, run)]
    return sorted({architecture(recipe(planned.config, run))["target"] for run in own})


def _made(config: Config, experiment: MadeExperiment) -> Spec:
    """What is fitted to worlds that an analysis makes itself."""
    if isinstance(experiment.analysis, ReuseOptions):
        return {"pairs": _reuse_pairs(experiment.analysis)}
    if isinstance(experiment.analysis, AntilearningOptions):
        return _antilearning(experiment.analysis)
    if isinstance(experiment.analysis, TrapsOptions):
        return {"autoencoder": _autoencoder()}
    named = {name: fitted(config, name) for name in experiment.decompositions or []}
    decompositions = [
        {
            **method(one, name),
            "seeds": one.member_seeds(),
            "at_most_units": isinstance(one, LinearOptions),
            "partner": next(iter(one.partners()), None),
        }
        for name, one in named.items()
    ]
    if not isinstance(experiment.analysis, WorldsAnalysis):
        return {"decompositions": decompositions}
    worlds = [
        {"group": group, "label": _label(group, said), "target": WORLDS[world.world], "options": options}
        for group, world in experiment.analysis.worlds.items()
        for options, said in zip(world.expand(), world.varying(), strict=True)
    ]
    return {"decompositions": decompositions, "worlds": worlds}


def _reuse_pairs(options: ReuseOptions) -> list[Spec]:
    """Pairs of tasks by what makes them."""
    return [
        {"label": label, "target": REUSE_PAIRS[one.pair], **one.model_dump(mode="json", exclude={"pair"})}
        for label, one in options.pairs.items()
    ]


def _antilearning(options: AntilearningOptions) -> Spec:
    """Pairs of tasks, and recipes as lists of parts, by what makes them."""

    def made(one: Options, kind: str, known: dict[str, str]) -> Spec:
        return {"target": known[getattr(one, kind)], **one.model_dump(mode="json", exclude={kind})}

    recipes = {label: [made(part, "name", TECHNIQUES) for part in parts] for label, parts in options.recipes.items()}
    return {
        "pairs": [{"label": label, **made(one, "pair", ANTILEARNING_PAIRS)} for label, one in options.pairs.items()],
        "recipes": [{"label": label, "parts": parts} for label, parts in recipes.items()],
    }


def _label(group: str, said: str) -> str:
    """What one world of a group is called: by the value alone, where one option varies."""
    values = said.split(",")
    return f"{group} {said.partition('=')[2] if len(values) == 1 else said}" if said else group


def _named(config: Config, decomposition: str) -> Spec:
    """A decomposition, and the gauge that activations are brought into for it."""
    return {"name": decomposition, "gauge": config.decompositions[decomposition].gauge}


def _with_start(config: Config, decomposition: str) -> Spec:
    """The same, with the method of those that are trained, for their step 0."""
    options = config.decompositions[decomposition]
    start = {"start": METHODS[options.method]} if isinstance(options, SparseAutoencoderOptions) else {}
    return {**_named(config, decomposition), **start}


def _autoencoder() -> Spec:
    """The autoencoder of analyses that make their worlds themselves: small, and quick on small data."""
    options = TopKOptions(
        method="topk_sae", n_latents=24, k=2, steps=250, batch_size=32, lr=1e-2, bias_init="mean", dead="none"
    )
    return {"target": METHODS[options.method], "options": options.expand()[0]}
