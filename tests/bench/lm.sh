#!/bin/sh
# The language model beside llama.cpp and transformers (lm.py) on two cores. PYTHON: an interpreter with numpy (and torch,
# transformers); LLAMA_PYTHON: one with llama-cpp-python and gguf. What is missing is said and left out.
python=${PYTHON:-python3}
if ! "$python" -c "import numpy" 2>/dev/null; then
    echo "skipped: $python has no numpy; set PYTHON"
    exit 0
fi
exec "$python" "$(dirname "$0")/lm.py" --cores "${CORES:-0,1}" ${KEEP:+--keep "$KEEP"}
