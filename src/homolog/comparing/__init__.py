"""homolog.compare: which latents of these dictionaries are the same, and how sure is that, without a workflow?"""
