"""This module names what stands in a rendered query for what only a run knows."""

#: Begins all of these; no table is called so.
MARK = "ostinato_"

#: Stands for a value.
UNKNOWN = MARK + "value"

#: Begins the schema of what ``ref`` and ``source`` named; a number and the table follow.
REF, SOURCE = MARK + "ref_", MARK + "source_"

#: Schema of the table that the query makes.
THIS = MARK + "this"
