"""The parts of torch_split.py."""
