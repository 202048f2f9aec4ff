"""Tools of the benchmarks: objects of many shapes, the floor, processes and their usage, and targets."""
