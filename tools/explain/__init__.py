"""The pictures and figures of docs/how-it-works.md: one recording, followed through every stage of the codec.

`recording` follows it, `pictures` and `density` draw what was found, in the style of `style`; `figures` says it in
numbers.
"""
