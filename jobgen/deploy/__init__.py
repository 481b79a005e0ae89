"""Forms of a trained model for where it will run, each proven to find what the model finds."""
