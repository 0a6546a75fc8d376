"""HCL, the language of bake files: text → nodes → values.

parser, template    text → nodes, as HCL's native syntax has it
document            JSON → the same nodes, as HCL's JSON syntax has it
nodes               expressions that give a value in a Scope
values, types       numbers, strings, lists and maps, and how one becomes another
functions           the standard functions of bake files

A value is what Python has: str, int or float, bool, list (lists, tuples and sets), dict (maps and
objects), None. Pure: no files, no environment.
"""
