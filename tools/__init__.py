"""What makes prices, pages and container images out of the tree?"""
