"""AI Studio over its wire: jobs that a command starts, their output, and its repositories."""
