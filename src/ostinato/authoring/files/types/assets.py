"""This module says of the tasks of a folder what they make, and where its columns come from."""

from collections.abc import Mapping, Sequence
from typing import Any

from ostinato.authoring.column_lineage import Outputs, outputs_of
from ostinato.authoring.files.spec import FileProblem
from ostinato.authoring.files.sql.queries import QueryReader, content_key
from ostinato.authoring.files.sql.query_marks import REF, SOURCE, THIS
from ostinato.authoring.files.types.asset_texts import AssetTexts
from ostinato.authoring.files.types.seeds import columns_of_seed
from ostinato.authoring.files.types.tables import Maker, Tables, connection_of, dialect_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.sql_queries import UnreadableSql, parse
from ostinato.model.asset import AssetDefinition, ColumnLineage, ColumnOrigin

#: Keys of front matter each of which makes what a task makes an asset.
ASSET_KEYS = frozenset({"asset", "columns", "checks", "freshness", "partition", "produces"})

_UNKNOWN = Outputs(is_complete=False)


class Assets:
    """What the tasks of a flow make.

    Args:
        tables: Of the flow.
        reader: Has read the queries.
        problems: Takes what is wrong.
    """

    def __init__(
        self,
        tables: Tables,
        reader: QueryReader,
        problems: list[FileProblem],
    ) -> None:
        self._tables = tables
        self._reads = tables.reads
        self._reader = reader
        self._kept = reader.kept
        self._problems = problems
        self._outputs: dict[str, Outputs] = {}

    def describe(self, maker: Maker, task: Operator, inherited: Mapping[str, Any]) -> None:
        """Let a task know what it makes, if that is an asset.

        Args:
            maker: The task, as queries know it.
            task: The same, as it runs.
            inherited: What METADATA around its file says.
        """
        spec = maker.spec
        if not maker.makes_table and not ASSET_KEYS & spec.values.keys():
            return
        texts = AssetTexts(spec, inherited, self._problems)
        reads = self._reads.get(maker.task_id)
        connection = str(connection_of(spec, inherited) or "") if maker.makes_table else ""
        task.asset = AssetDefinition(
            maker.key,
            maker.table if maker.makes_table else "",
            # What stands in a URI may be secret.
            "" if "://" in connection else connection,
            str(getattr(task, "materialized", "")),
            texts.columns(),
            texts.checks(),
            texts.freshness(),
            texts.owners(),
            texts.partition(),
            texts.produces(),
            tuple(sorted(set(reads.keys.values()))) if reads else (),
            tuple(sorted(reads.external)) if reads else (),
            self._lineage(maker) if maker.makes_table and reads else (),
        )

    def _lineage(self, maker: Maker) -> tuple[ColumnLineage, ...]:
        found: list[ColumnLineage] = []
        for name, origins in self._outputs_of(maker).columns:
            keys = {
                ColumnOrigin(key, column)
                for table, column in origins
                if (key := self._key(table, maker)) is not None
            }
            if name and keys:
                ordered = sorted(keys, key=lambda origin: (origin.asset, origin.column))
                found.append(ColumnLineage(name, tuple(ordered)))
        return tuple(found)

    def _outputs_of(self, maker: Maker) -> Outputs:
        found = self._outputs.get(maker.task_id)
        if found is None:
            # Tasks that read each other in a circle are told of elsewhere.
            self._outputs[maker.task_id] = _UNKNOWN
            found = self._outputs[maker.task_id] = self._find_outputs(maker)
        return found

    def _find_outputs(self, maker: Maker) -> Outputs:
        query = maker.query
        if query is None or query.sql_fault is not None or not query.text:
            return _UNKNOWN
        inherited = self._tables.inherited(maker)
        dialect = dialect_of(connection_of(maker.spec, inherited))
        known = {
            name: columns
            for name in query.table_names
            if (columns := self._columns(name, maker)) is not None
        }
        key = content_key("outputs", query.text, dialect, sorted(known.items()))
        found = self._kept.outputs(key)
        if found is not None:
            return found
        try:
            trees = self._reader.trees(query.text) or parse(query.text, dialect)
            found = outputs_of(trees[-1], known.get) if trees else _UNKNOWN
        except (UnreadableSql, RecursionError):
            found = _UNKNOWN
        self._kept.put_outputs(key, found)
        return found

    def _columns(self, name: str, maker: Maker) -> Sequence[str] | None:
        """Return the columns of a table that a query names, None if they are not known."""
        key = self._key(name, maker)
        other = self._tables.made(key) if key is not None else None
        if other is None or other is maker:
            return None
        names = self._outputs_of(other).names
        declared = other.spec.values.get("columns")
        if not names and isinstance(declared, Mapping):
            names = tuple(map(str, declared))
        return names or columns_of_seed(other.spec) or None

    def _key(self, name: str, maker: Maker) -> str | None:
        """Return the key of the asset that a query means by a name, or the name of a table."""
        reads, query = self._reads.get(maker.task_id), maker.query
        if reads is None or query is None:
            return None
        for mark, function, uses in ((REF, "ref", query.refs), (SOURCE, "source", query.sources)):
            if name.startswith(mark):
                number = name.removeprefix(mark).partition(".")[0]
                is_known = number.isdecimal() and int(number) < len(uses)
                use = uses[int(number)].name if is_known else ""
                return reads.keys.get(f"{function}:{use}")
        return None if name.startswith(THIS) else reads.keys.get(name)
