"""The documentation site: `tox run -e docs` builds it into .tox/docs/html, and fails at the first warning."""

project = "oomtrial"
author = "the oomtrial developers"
project_copyright = author
extensions = ["myst_parser", "sphinx_click"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
exclude_patterns = ["ci/*", "sample-project/*", "regression-7.x/*"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "oomtrial"
html_copy_source = False
html_show_sphinx = False
# Examples are terminal sessions and program output more often than a language.
highlight_language = "text"
# Pages are read on the web as well as here: files that are no page are linked as they lie in the tree.
suppress_warnings = ["myst.xref_missing"]

# `sphinx-build -b man`: one page with all commands and options.
man_pages = [("cli", "oomtrial", "count OOM kills that were not needed, and compare kernels by them", author, 1)]
