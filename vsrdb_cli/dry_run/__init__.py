"""What a run would take, do and leave out, found out without doing it."""
