"""Whose request it is: a bearer token gives a `Principal`, the sender whose records these are.

How tokens are kept is `store/tokens.py`; how they reach the server in headers is the API's business.
"""
