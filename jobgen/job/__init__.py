"""From job.yaml to the files of a bundle."""
