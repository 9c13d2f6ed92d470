# pyruhvro ships no types.
from collections.abc import Sequence

import pyarrow as pa

def deserialize_array(data: Sequence[bytes], schema: str) -> pa.RecordBatch: ...
def serialize_record_batch(data: pa.RecordBatch, schema: str, num_chunks: int) -> list[pa.BinaryArray]: ...
