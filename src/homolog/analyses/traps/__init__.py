"""How often would each measure have been fooled, in worlds in which it is known what is stable?"""
