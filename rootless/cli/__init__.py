"""The command line: words, colours, progress and exit codes. The only room that prints.

Verbs and flags are declared once, as data, in `table`. `main` looks a verb up there, `parser`
turns the words after it into values, and the verb's handler does the rest. click is built from
the same table, only for --help, completion and spelling suggestions: importing it costs more
than starting a container. Environment variables are read here (settings) and nowhere below.
"""
