"""Child processes: started, watched, and ended with all they started."""
