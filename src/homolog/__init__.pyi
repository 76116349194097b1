from homolog.dictionary import Dictionary as Dictionary
from homolog.fitting import fit as fit
from homolog.fitting import table as table
from homolog.store.dictionaries import read_dictionaries as read_dictionaries
from homolog.store.saelens import write_saelens as write_saelens
from homolog.store.saelens_reading import read_saelens as read_saelens
