"""Online self-supervised perception: lidar scene flow and depth that teaches itself."""

from ssl_perception.version import __version__ as __version__
