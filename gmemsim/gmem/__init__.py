"""guest_memfd: attributes, filemap, policies, conversion."""
