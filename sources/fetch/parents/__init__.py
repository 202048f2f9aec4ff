"""Lists that take a parent: the order of the parents, and paging the list of each."""
