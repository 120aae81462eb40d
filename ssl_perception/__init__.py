"""Online self-supervised perception: lidar scene flow and depth that teaches itself."""

__version__ = "0.1.0"
