"""Programs that run in a process of their own, where Paddle is: Python 3.7."""
