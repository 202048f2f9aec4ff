"""What the benchmarks measure with: objects of many shapes, the floor, simulated machines, and the targets."""
