"""What is computed of an experiment: runs in, labelled arrays out; one kind of experiment a file."""
