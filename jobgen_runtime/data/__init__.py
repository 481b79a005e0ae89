"""Archives and annotations: what the job trains on."""
