"""How the documentation site is built: `make docs`, into .docs. Every warning is an error, so every link leads somewhere."""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

sys.path.insert(0, str(Path(__file__).parents[1]))
from schemas import __version__

project = "Davy"
copyright = "the Davy authors, Apache-2.0"
release = __version__
lexers["mermaid"] = TextLexer()  # a diagram as text: drawing it takes a script from elsewhere
extensions = ["myst_parser"]
myst_heading_anchors = 4
exclude_patterns = ["conf.py"]
suppress_warnings = ["myst.xref_ambiguous"]
html_theme = "furo"
html_title = f"Davy {release}"
html_favicon = html_logo = "../davy/web/static/lamp.svg"
html_copy_source = False
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost|davy|HOST)[:/].*", r"https://[a-z.]*example.*"]
