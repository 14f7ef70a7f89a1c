#!/bin/sh
# The analysis beside scanpy (analysis.py); PYTHON is an interpreter that has it.
python=${PYTHON:-python3}
if ! "$python" -c "import scanpy, igraph" 2>/dev/null; then
    echo "skipped: $python has no scanpy with igraph; set PYTHON"
    exit 0
fi
exec "$python" "$(dirname "$0")/analysis.py" ${CELLS:-2638,68000}
