"""Parts of the pages that are drawn on the user's own computer, where a page may have a script."""
