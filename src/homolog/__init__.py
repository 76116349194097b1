"""homolog: when a network, or one of its layers, is trained again, which features come back?"""

from importlib import import_module

# Imported when they are asked for: planning the workflow needs no torch. Their types stand in __init__.pyi.
_WHERE = {
    "Comparison": "homolog.comparing.result",
    "Dictionary": "homolog.dictionary",
    "compare": "homolog.comparing.compare",
    "fit": "homolog.fitting",
    "load": "homolog.store.labelled",
    "table": "homolog.fitting",
    "track_table": "homolog.store.track_table",
    "read_dictionaries": "homolog.store.dictionaries",
    "read_dictionary_learning": "homolog.store.dictionary_learning_reading",
    "read_saelens": "homolog.store.saelens_reading",
    "read_sparsify": "homolog.store.sparsify_reading",
    "write_saelens": "homolog.store.saelens",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'homolog' has no attribute {name!r}; it has {', '.join(_WHERE)}.")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
