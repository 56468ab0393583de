import re
import sqlite3
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "storage.md"


@pytest.mark.parametrize("page", ["storage.md", "statistics.md"])
def test_the_queries_of_the_page_run(path, page):
    [block] = re.findall(r"```sql\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
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
