"""The machine, PaddleDetection and its packages, before anything is trained."""
