"""The neighbour of the S3 sink: what a short script with DuckDB makes of the same topic. Reads ROWS records and ends.

    neighbour.py TOPIC ROWS BUCKET

Every million rows go as JSON lines to a file, DuckDB makes Parquet of it, the file is uploaded, and the offsets are committed. No lake
partitions, no bound on memory, and after a crash rows are there twice. KAFKA_BOOTSTRAP, AWS_ENDPOINT_URL, AWS_REGION and the AWS keys
come from the environment.
"""

import os
import sys
import tempfile

import duckdb
from confluent_kafka import Consumer
from pyarrow import fs

BATCH = 1_000_000

topic, rows, bucket = sys.argv[1], int(sys.argv[2]), sys.argv[3]
scheme, address = os.environ["AWS_ENDPOINT_URL"].split("://", 1)
store = fs.S3FileSystem(endpoint_override=address, scheme=scheme, region=os.environ["AWS_REGION"])
settings = {
    "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"],
    "group.id": f"{topic}-neighbour-{os.getpid()}",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    # As the default, it stops fetching for up to a second whenever 100,000 records wait: 2.6 to 4.5 times slower.
    "queued.min.messages": 1_000_000,
    "fetch.queue.backoff.ms": 5,
    "fetch.max.bytes": 50 << 20,
    "max.partition.fetch.bytes": 4 << 20,
}

with tempfile.TemporaryDirectory() as folder:
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    seen = part = 0
    while seen < rows:
        waiting = 0
        with open(f"{folder}/rows.ndjson", "wb") as file:
            while waiting < BATCH and seen < rows:
                messages = consumer.consume(min(10_000, BATCH - waiting, rows - seen), 1.0)
                values = [message.value() for message in messages if not message.error()]
                if values:
                    file.write(b"\n".join(values) + b"\n")
                    waiting += len(values)
                    seen += len(values)
        duckdb.execute(
            f"COPY (SELECT * FROM read_json('{folder}/rows.ndjson', format = 'newline_delimited')) "
            f"TO '{folder}/rows.parquet' (FORMAT parquet, COMPRESSION snappy)"
        )
        fs.copy_files(f"{folder}/rows.parquet", f"{bucket}/part-{part:05}.parquet", destination_filesystem=store)
        part += 1
        consumer.commit(asynchronous=False)
    consumer.close()
