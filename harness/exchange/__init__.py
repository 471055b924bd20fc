"""Runs in the formats of other tools, and what other tools recorded as something that can be scored here.

One module per format. Exports: `inspect_log`, `dialoguekit`, `turns_csv`, `hf`. Imports: `ievalm`, `dialoguekit`, `crsarena`.
Plain ranked lists: `rankings`, read by `rankings_file`. `importing` writes what `imported` reads.
"""
