"""What makes pages and container images out of the tree."""
