"""How alike are two dictionaries or representations, and by chance: similarities, matchings, nulls, intervals."""

from importlib import import_module

# Imported when they are asked for, so that planning needs no torch. Their types stand in __init__.pyi.
_WHERE = {
    "canonical_correlations": "canonical",
    "svcca": "canonical",
    "pwcca": "canonical",
    "excess_correlations": "canonical",
    "linear_cka": "kernel",
    "debiased_cka": "kernel",
    "procrustes_similarity": "procrustes",
    "angular_distance": "procrustes",
    "transfer_fvu": "procrustes",
    "principal_angles": "subspaces",
    "projector_overlap": "subspaces",
    "soft_matching_distance": "units",
    "unit_matching": "units",
    "max_cosine": "dictionaries",
    "shared_fraction": "dictionaries",
    "pw_mcc": "dictionaries",
    "permutation_null": "chance",
    "RepresentationSet": "collection",
    "FewSamplesWarning": "inputs",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'homolog.alignment' has no attribute {name!r}; it has {', '.join(_WHERE)}.")
    return getattr(import_module(f"homolog.alignment.representations.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
