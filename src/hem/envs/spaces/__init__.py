"""The values of an environment: as it speaks them, as hem computes with them, as plain data.

Whatever concerns one kind of Gymnasium space belongs here. No JAX is imported.
"""
