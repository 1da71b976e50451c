"""Choosing what trains: by part and pattern, Fisher information, angle, FLOPs, module."""
