"""A policy that is trained from pictures: its network, the data that it learns from, its feeds."""
