"""The routes, a file each domain: read the request, call the core once, answer."""
