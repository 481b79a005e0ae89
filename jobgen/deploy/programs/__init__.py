"""What runs in the environment of the forms, where jobgen is not."""
