"""From job.yaml to the three files of a bundle."""
