# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages: one HTML file that needs nothing else, of a run or of a study, alive where Plotly is installed.

Theory of operation
-------------------
A page is a value: a title, facts, and sections of *blocks* (:mod:`~gmemsim.reports.page.parts`: tables, words, source
text, plots, pictures).  Whoever makes one says what is in it; how it looks is said here once, so a study's page is a
function of ten lines and a row of its registry.

*Alive* (:mod:`~gmemsim.reports.page.shell`): the plots are drawn by Plotly, whose script comes with the installed
package (the extra ``html``) and is written into the page as it is, beside the page's own script and style.  Without
Plotly the page has no script at all: plots are left out, pictures stand in their place, and a line says how to get the
other form.

A content security policy forbids the browser to fetch anything and lets only these scripts run, by their hashes.  Text
from outside (titles, names, messages, the scenario's source) is escaped in one place,
:func:`~gmemsim.reports.page.parts.text`, and in data for scripts in another, :func:`~gmemsim.reports.page.shell.data`.
The same page gives the same bytes.

What may live here: how pages are put together.  What is in a page of a run or of a study is in
:mod:`gmemsim.reports.export`.
"""
