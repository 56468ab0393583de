import subprocess
import sys

import pytest

from trunkline.errors import StoreError
from trunkline.storage.writer_claim import WriterClaim


def test_a_second_writer_is_refused_until_the_first_lets_go(url):
    with WriterClaim(url), pytest.raises(StoreError, match="another gateway is writing"):
        WriterClaim(url)
    WriterClaim(url).release()


def test_the_claim_ends_with_the_process_however_it_ends(url):
    program = (
        "import os, signal, sys; from trunkline.storage.writer_claim import WriterClaim;"
        "claim = WriterClaim(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(StoreError):
        WriterClaim(url)
    process.kill()
    process.communicate()
    WriterClaim(url).release()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        WriterClaim(f"sqlite:///{tmp_path}/nowhere/trunkline.db")
