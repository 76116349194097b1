"""The atlas: a static site in which one looks at the features of an experiment, those that came back and the others."""
