"""Rules: what is known beforehand of a job, each with a stable code, a reason and a remedy."""
