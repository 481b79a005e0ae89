"""jobgen: AI Studio background jobs for PaddleDetection, checked and tried before the upload."""

__version__ = "0.1.0"
__all__ = ["__version__"]
