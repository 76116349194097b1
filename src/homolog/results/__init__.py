"""Which files of results/ are what the config asks for now, and what Snakemake should know of them?"""
