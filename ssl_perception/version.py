"""The version, in one place: the package, its metadata and the figures that it writes read it."""

__version__ = "0.1.0"
