"""The composition root: command line, processes, web pages."""
