"""The door: any Gymnasium goal environment as a world, run in worker processes."""
