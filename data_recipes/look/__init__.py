"""Look at what a data recipe did: single documents, and the whole on one page."""
