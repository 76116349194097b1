"""What people look at: one figure a file, labelled arrays in, a matplotlib figure out; no file is read here."""
