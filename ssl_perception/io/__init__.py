"""Sensor data in and results out: messages, bags and recorded sequences. No ROS import anywhere."""
