"""This computer: Python environments, the mirror of PaddleDetection, caches."""
