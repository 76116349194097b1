"""Which file answers to each name that config.yaml may use?

Jobs never import this file: planning resolves the names and hands every job its targets, so a new line here makes
nothing stale. The option class of each name stands in ``homolog.config``.
"""

TASKS: dict[str, str] = {
    "digits": "homolog.tasks.digits:Digits",
    "fashion_mnist": "homolog.tasks.fashion_mnist:FashionMNIST",
}
ARCHITECTURES: dict[str, str] = {
    "mlp": "homolog.models.mlp:MLP",
}
METHODS: dict[str, str] = {
    "svd": "homolog.decompositions.svd:SVD",
    "pca": "homolog.decompositions.pca:PCA",
    "cca": "homolog.decompositions.cca:CCA",
    "topk_sae": "homolog.decompositions.sae.topk:TopK",
}
VIEWS: dict[str, str] = {
    "score": "homolog.alignment.views.score:Score",
    "write_out": "homolog.alignment.views.write_out:WriteOut",
    "read_in": "homolog.alignment.views.read_in:ReadIn",
    "neuron": "homolog.alignment.views.neuron:Neuron",
    "neuron_permuted": "homolog.alignment.views.neuron:NeuronPermuted",
    "neuron_procrustes": "homolog.alignment.views.neuron:NeuronProcrustes",
}
ANALYSES: dict[str, str] = {
    "stability": "homolog.analyses.stability:stability",
}
FIGURES: dict[str, str] = {
    "stability": "homolog.figures.stability",
    "widening": "homolog.figures.widening",
    "reinit_depth": "homolog.figures.reinit_depth",
}
