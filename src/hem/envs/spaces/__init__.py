"""Spaces: conversion between an environment's values, hem's arrays and plain data.

Whatever is specific to one kind of Gymnasium space belongs here. No JAX is imported.
"""
