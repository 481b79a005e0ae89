"""What follows training: evaluation, pictures, the exported model and its proof."""
