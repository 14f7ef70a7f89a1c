#!/bin/sh
# Two processes of half the batch train what one process trains; a stop of one stops both, with one checkpoint.
set -e
s=${SCMMGPT:-build/scmmgpt}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl=self,vader OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_mpi_yield_when_idle=1 # two processes may have one processor
if [ ! -f "$(dirname "$s")/ranks_mpi.so" ] || ! mpirun -n 2 true 2>"$t/why"; then
    echo "skipped: no MPI here that starts two processes"
    cat "$t/why" 2>/dev/null || true
    exit 0
fi
config() { # BATCH STEPS
    printf '{"stage":"pretrain","files":["immune_559.h5ad"],"width":16,"heads":2,"ffn":16,"layers":1,"dropout":0,
"tokens":64,"batch":%s,"steps":%s,"warmup":5,"lr":0.01,"recall_after":4,"held_out":0.1,"save_every":1000}' "$1" "$2"
}
config 16 12 >"$t/one.json"
config 8 12 >"$t/two.json"
config 8 100000 >"$t/long.json"
"$s" train "$t/one.json" --data assets/demo -o "$t/one" -q
export ASAN_OPTIONS=detect_leaks=0 # MPI keeps memory to its end; the run above looked for ours
mpirun -n 2 "$s" train "$t/two.json" --data assets/demo -o "$t/two" -q
[ "$(wc -l <"$t/two/log.tsv")" -eq 13 ] # one process writes
mse() { sed -n 's/.*"held_out_mse":[^0-9]*\([0-9.]*\).*/\1/p' "$1/args.json"; }
echo "$(mse "$t/one") $(mse "$t/two")" | awk '{d = ($1 - $2) / $1; exit !($1 > 0 && d < 1e-3 && d > -1e-3)}' ||
    { echo "one: $(mse "$t/one"), two: $(mse "$t/two")"; exit 1; }
# The signal goes to one process: mpirun, told to stop, kills both after a second, checkpoint or not.
mpirun -n 2 sh -c 'echo $$ >"$0.$OMPI_COMM_WORLD_RANK" && exec "$@"' "$t/pid" \
    "$s" train "$t/long.json" --data assets/demo -o "$t/long" -q 2>"$t/err" &
pid=$!
i=0
while [ "$(cat "$t/long/log.tsv" 2>/dev/null | wc -l)" -lt 4 ] && [ $i -lt 1000 ] && kill -0 $pid; do
    sleep 0.1
    i=$((i + 1))
done
kill -TERM "$(cat "$t/pid.1")"
wait $pid && { echo "a stopped run must not end well"; exit 1; }
[ -f "$t/long/checkpoint/pretrain.safetensors" ] || { cat "$t/err"; exit 1; }
