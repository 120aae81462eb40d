"""Worlds by seed with exact ground truth: rooms for a drone, streets for a car. No ROS in here."""
