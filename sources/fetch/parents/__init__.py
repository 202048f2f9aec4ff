"""Lists that take a parent: which parents there are, and paging the list of each."""
