"""What the library costs, as ratios to a baseline measured in the same run. Run it: `python -m benchmarks`."""
