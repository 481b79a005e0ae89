"""Template packs: what they are on disk, and what they render."""
