"""Working folders: folders of the user's own that hold a version, and what differs in them since.

What is known of a folder is two files outside of it: a record (which version, and whether a checkout of another was
begun) and an index of its files' stats and digests, which is a cache. Nothing here opens a project or imports more
than the standard library, so that a status costs little more than looking at every file once.
"""
