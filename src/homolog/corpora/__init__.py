"""Inputs of networks from outside: texts, images and arrays, in the order and form in which they are fed."""
