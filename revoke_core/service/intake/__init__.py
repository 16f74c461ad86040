"""Intake: what a caller may ask for, made durable."""
