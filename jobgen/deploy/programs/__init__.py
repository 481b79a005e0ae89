"""What runs in the forms' environment, where jobgen is not."""
