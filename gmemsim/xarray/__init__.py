"""The XArray: nodes, tree, splits, marks.  Knows nothing of folios or guests."""
