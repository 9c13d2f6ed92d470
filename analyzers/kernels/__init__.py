"""Loops of detectors, written for `analyzers.native`: plain functions over arrays of binary64.

A series' memory is one array, so that a state is copied and kept as it is; the places in it have names.
"""
