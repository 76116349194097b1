"""What jobs run in: threads, device and errors; whether they may be submitted and written; when they stop."""
