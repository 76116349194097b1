from homolog.dictionary import Dictionary as Dictionary
from homolog.fitting import fit as fit
from homolog.fitting import table as table
from homolog.store.dictionaries import read_dictionaries as read_dictionaries
from homolog.store.dictionary_learning_reading import read_dictionary_learning as read_dictionary_learning
from homolog.store.saelens import write_saelens as write_saelens
from homolog.store.saelens_reading import read_saelens as read_saelens
from homolog.store.sparsify_reading import read_sparsify as read_sparsify
