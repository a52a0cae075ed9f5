"""The seed inputs of the fuzz targets, by what they are of."""
