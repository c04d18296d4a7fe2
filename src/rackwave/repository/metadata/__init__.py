"""Signed metadata over the repository (TUF): who may sign what, what is current, until when that holds."""
