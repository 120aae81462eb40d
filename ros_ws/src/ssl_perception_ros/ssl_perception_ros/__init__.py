"""ROS 2 nodes around ssl_perception: they convert, call the library and publish, nothing else."""
