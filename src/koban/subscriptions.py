"""The asynchronous flow as one table: what happens later, who does it, and how often it is looked at.

Everything here works on what a committed batch left behind, may run twice, and may be killed at any moment.
"""
