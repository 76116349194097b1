"""Export the tracks of an experiment as a table, a row for each member: CSV, or Parquet."""

from homolog.jobs.stage import stage


@stage(snakemake)
def export_tracks(job):
    from homolog.store.track_table import write_track_table
    from homolog.store.tracks import read_tracks

    write_track_table(job.output.table, read_tracks(job.input.tracks))
