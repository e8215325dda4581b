"""One module for each group of addresses: it reads the request, asks the services, fills a typed context."""
