"""One module a chapter of the site; each handler reads what a page needs and renders it."""
