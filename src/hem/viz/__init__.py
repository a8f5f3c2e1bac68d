"""Images and progress: curves, grids of images, videos and bars.

They draw what they are given and know nothing about learning.
"""
