"""The step runner of a pod: what `runner.pyz` holds beside the supervisor.

The rule to keep: the server says what is to be done, and is told everything; a pod that disappears at any moment costs
an attempt and nothing else.
"""
