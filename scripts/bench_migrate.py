"""Migration's speed beside a bare loop that does the same transform: `make bench-migrate`.

The bare loop scans in parallel and writes in batches, with boto3, what the migration writes: heads,
vectors with their texts, and the index's segments. It follows nothing, checks nothing and can't go
on after a crash. Rounds of both take turns over the same endpoint; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from core.aws.capacity import TableSchema
from core.aws.codec import encode_item
from core.aws.embedded import open_session
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, new_id
from core.memory.index.items import MessageItems
from core.memory.index.partition import SEGMENT_ROWS, IndexPartition
from core.memory.index.rows import Indexed, rows_of
from core.memory.parts import open_parts
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema
from core.migration.migrator import Migrator
from core.migration.transform import mapped
from core.migration.wiring import Options
from core.settings import Settings, load_settings

_WORDS = "otter river bridge moon tea Ludwig garden piano winter letter station harbour".split()
_BATCH = 25
