"""The pages: server-rendered, every one a URL, nothing asked of another host.

A page calls the same operations as the command line and the API, as the person who is signed in.
"""
