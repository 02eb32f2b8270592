"""Instructors: release a lab, take submissions in, grade them in a sandbox, return marks and feedback."""
