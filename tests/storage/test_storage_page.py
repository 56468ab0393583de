import re
import sqlite3
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def test_the_queries_of_the_page_run(path):
    [block] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    connection = sqlite3.connect(path)
    queries = [query for query in block.split(";") if query.strip()]
    assert len(queries) == 2
    for query in queries:
        connection.execute(query).fetchall()
    connection.close()


def test_the_page_names_each_table_and_no_other(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    connection.close()
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert named == {name for (name,) in found} - {"alembic_version"}
