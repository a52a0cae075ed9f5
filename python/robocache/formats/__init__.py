"""Formats whose indexer is written in Python: the surface they are written against
(:mod:`.indexer`, :mod:`.part`, :mod:`.sources`), and those that come with the package.
"""
