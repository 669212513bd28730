"""One script and one short YAML per training stage, and the small engine that they share."""
