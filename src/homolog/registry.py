"""Which file answers to each name that config.yaml may use?

Jobs never import this file: planning resolves the names and hands every job its targets, so a new line here makes
nothing stale. The option class of each name stands in ``homolog.config``.
"""

TASKS: dict[str, str] = {
    "digits": "homolog.tasks.digits:Digits",
    "fashion_mnist": "homolog.tasks.fashion_mnist:FashionMNIST",
}
CORPORA: dict[str, str] = {
    "text_files": "homolog.corpora.text_files:TextFiles",
    "saved_text": "homolog.corpora.saved_dataset:SavedText",
    "world_english_bible": "homolog.corpora.world_english_bible:WorldEnglishBible",
    "python_topics": "homolog.corpora.python_topics:PythonTopics",
    "images": "homolog.corpora.images:Images",
    "arrays": "homolog.corpora.arrays:NumpyArrays",
    "saved_arrays": "homolog.corpora.saved_dataset:SavedArrays",
    "digits": "homolog.corpora.task_images:DigitImages",
    "fashion_mnist": "homolog.corpora.task_images:FashionMNISTImages",
    "python": "homolog.corpora.python_batches:PythonBatches",
}
ARCHITECTURES: dict[str, str] = {
    "mlp": "homolog.models.mlp:MLP",
    "residual": "homolog.models.residual:Residual",
}
METHODS: dict[str, str] = {
    "svd": "homolog.decompositions.svd:SVD",
    "pca": "homolog.decompositions.pca:PCA",
    "cca": "homolog.decompositions.cca:CCA",
    "svcca": "homolog.decompositions.svcca:SVCCA",
    "ica": "homolog.decompositions.ica:ICA",
    "nmf": "homolog.decompositions.nmf:NMF",
    "kmeans": "homolog.decompositions.kmeans:KMeans",
    "dictionary_learning": "homolog.decompositions.dictionary_learning:DictionaryLearning",
    "relu_sae": "homolog.decompositions.sae.relu:ReLU",
    "topk_sae": "homolog.decompositions.sae.topk:TopK",
    "batch_topk_sae": "homolog.decompositions.sae.batch_topk:BatchTopK",
    "jumprelu_sae": "homolog.decompositions.sae.jumprelu:JumpReLU",
    "gated_sae": "homolog.decompositions.sae.gated:Gated",
    "matryoshka_sae": "homolog.decompositions.sae.matryoshka:Matryoshka",
    "matching_pursuit_sae": "homolog.decompositions.sae.matching_pursuit:MatchingPursuit",
    "archetypal_sae": "homolog.decompositions.sae.archetypal:Archetypal",
    "crosscoder": "homolog.decompositions.sae.crosscoder:Crosscoder",
}
WORLDS: dict[str, str] = {
    "planted": "homolog.worlds.planted:planted",
    "sources": "homolog.worlds.sources:sources",
    "digits": "homolog.worlds.digits:digits",
}
VIEWS: dict[str, str] = {
    "score": "homolog.alignment.views.score:Score",
    "score_spearman": "homolog.alignment.views.score:ScoreSpearman",
    "score_jaccard": "homolog.alignment.views.score:ScoreJaccard",
    "write_out": "homolog.alignment.views.write_out:WriteOut",
    "read_in": "homolog.alignment.views.read_in:ReadIn",
    "effect": "homolog.alignment.views.effect:Effect",
    "effect_zero": "homolog.alignment.views.effect:EffectZero",
    "effect_resample": "homolog.alignment.views.effect:EffectResample",
    "effect_projection": "homolog.alignment.views.effect:EffectProjection",
    "effect_projection_zero": "homolog.alignment.views.effect:EffectProjectionZero",
    "effect_projection_resample": "homolog.alignment.views.effect:EffectProjectionResample",
    "substitution": "homolog.alignment.views.substitution:Substitution",
    "neuron": "homolog.alignment.views.neuron:Neuron",
    "neuron_permuted": "homolog.alignment.views.neuron:NeuronPermuted",
    "neuron_procrustes": "homolog.alignment.views.neuron:NeuronProcrustes",
}
ANALYSES: dict[str, str] = {
    "stability": "homolog.analyses.stability:stability",
    "traps": "homolog.analyses.traps.analysis:traps",
    "superposition": "homolog.analyses.superposition:superposition",
    "recovery": "homolog.analyses.recovery:recovery",
    "top_m": "homolog.analyses.top_m:top_m",
    "double_descent": "homolog.analyses.double_descent:double_descent",
    "arrangement": "homolog.analyses.arrangement:arrangement",
    "causal_features": "homolog.analyses.causal_features:causal_features",
    "weight_sparsity": "homolog.analyses.weight_sparsity:weight_sparsity",
    "arrangement_layers": "homolog.analyses.arrangement_layers:arrangement_layers",
    "sae_twice": "homolog.analyses.sae_twice:sae_twice",
    "fixed_features": "homolog.analyses.fixed_features:fixed_features",
    "how_many": "homolog.analyses.how_many:how_many",
    "self_simulation": "homolog.analyses.self_simulation:self_simulation",
    "grokking": "homolog.analyses.grokking:grokking",
    "reuse": "homolog.analyses.reuse:reuse",
}
FIGURES: dict[str, str] = {
    "stability": "homolog.figures.stability",
    "widening": "homolog.figures.widening",
    "reinit_depth": "homolog.figures.reinit_depth",
    "stabilisation": "homolog.figures.stabilisation",
    "layers": "homolog.figures.layers",
    "traps": "homolog.figures.traps",
    "superposition": "homolog.figures.superposition",
    "recovery": "homolog.figures.recovery",
    "top_m": "homolog.figures.top_m",
    "double_descent": "homolog.figures.double_descent",
    "arrangement": "homolog.figures.arrangement",
    "which_method": "homolog.figures.which_method",
    "sweep": "homolog.figures.sweep",
    "hybrid": "homolog.figures.hybrid",
    "causal_features": "homolog.figures.causal_features",
    "weight_sparsity": "homolog.figures.weight_sparsity",
    "arrangement_layers": "homolog.figures.arrangement_layers",
    "sae_twice": "homolog.figures.sae_twice",
    "fixed_features": "homolog.figures.fixed_features",
    "how_many": "homolog.figures.how_many",
    "self_simulation": "homolog.figures.self_simulation",
    "grokking": "homolog.figures.grokking",
    "reuse": "homolog.figures.reuse",
}
# The figures that draw what an analysis finds.
FIGURES_OF: dict[str, tuple[str, ...]] = {
    "stability": ("stability", "widening", "reinit_depth", "stabilisation", "layers"),
    "traps": ("traps",),
    "superposition": ("superposition",),
    "recovery": ("recovery", "which_method", "sweep", "hybrid"),
    "top_m": ("top_m",),
    "double_descent": ("double_descent",),
    "arrangement": ("arrangement",),
    "causal_features": ("causal_features",),
    "weight_sparsity": ("weight_sparsity",),
    "arrangement_layers": ("arrangement_layers",),
    "sae_twice": ("sae_twice",),
    "fixed_features": ("fixed_features",),
    "how_many": ("how_many",),
    "self_simulation": ("self_simulation",),
    "grokking": ("grokking",),
    "reuse": ("reuse",),
}
# Figures that draw tracks too, where the experiment has any.
DRAWN_WITH_TRACKS: tuple[str, ...] = ("stability", "widening", "reinit_depth")
