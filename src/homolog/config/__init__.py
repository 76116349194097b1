"""What may config.yaml say, and what is wrong with the one at hand? (Imports neither torch nor numpy.)"""

from homolog.config.problems import ConfigError
from homolog.config.reading import load_config, parse_config, parse_decomposition
from homolog.config.root import Config

__all__ = ["Config", "ConfigError", "load_config", "parse_config", "parse_decomposition"]
