"""What a run did: its result, its events and the page that shows them."""
