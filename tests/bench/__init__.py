# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast gmemsim is: ``make bench`` and ``make bench-compare REV=…``.

Theory of operation
-------------------
A *row* (:mod:`tests.bench.meter`) is a function that measures one thing and returns one number.  It uses only what
every revision has: the names of ``import gmemsim``, scenario files, and the command.  A *form*
(:mod:`tests.bench.forms`) is a gmemsim that is measured: of this tree from its sources, of this tree compiled, of
another revision, and, for the rows of the tree, the kernel's own C code.

Every row of every form is measured in a process of its own (:mod:`tests.bench.child`), in turn: all forms of a row, one
after another, and that ``--rounds`` times, so that a busy moment of the machine meets all of them.  The figure is the
median over the rounds.  Times are CPU times of the process; what is wall-clock time says so.  A row is measured with
collections of garbage and without.

What may live here: rows, in the modules that :data:`tests.bench.child.MODULES` names, and how they are measured.
Nothing here is a test of speed: ``test_rows.py`` runs every row once, on very little.
"""
