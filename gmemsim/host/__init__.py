"""The host: who holds how many bytes, the hugepage pool, vmemmap, and what work costs."""
